"""Learning curves: systems trained on shares of a corpus."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spacy.util import load_config
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.docbin import read_docbin

from .grid import Overrides, Run
from .results import RunScores
from .selection import RANDOM, SimulatedAnnotation


@dataclass
class LearningCurve:
    """Trains a system on shares of its training corpus, and scores each of these models.

    The seed draws the order of the documents, so that each share has the documents of the smaller
    ones, and all systems learn from the same ones.

    systems (Mapping[str, Path]): The config of each system.
    shares (list[float]): Shares of the documents, above 0, the largest one at most 1.
    overrides (Mapping[str, object]): The settings that all runs change in the configs, by dotted
        name.
    output (Path): Folder for the steps and the last pipeline of each run.
    gpu_id (int): The GPU, or -1 for the CPU.
    """

    systems: Mapping[str, Path]
    shares: list[float]
    overrides: Mapping[str, object]
    output: Path
    gpu_id: int = -1

    def __call__(self, run: Run, chosen: Overrides) -> RunScores:
        """Train a system on each share.

        run (Run): The system and the seed.
        chosen (Overrides): Not used.
        RETURNS (RunScores): The scores with the largest share, and of each share; see
            `SimulatedAnnotation`.
        """
        config = self.systems[run.system]
        paths = load_config(config, overrides=dict(self.overrides), interpolate=True)["paths"]
        n_docs = sum(1 for _ in read_docbin(Path(paths["train"]), Vocab()))
        numbers = [max(1, round(share * n_docs)) for share in self.shares]
        train = SimulatedAnnotation(
            config, self.overrides, self.output / run.system, numbers, self.gpu_id
        )
        return train(Run(RANDOM, run.seed), chosen)


def parse_shares(text: str) -> list[float]:
    """Read shares of a corpus.

    text (str): The shares, separated by commas, for example "0.1,0.5,1".
    RETURNS (list[float]): The shares, in ascending order.
    RAISES (ValueError): If one is not a number above 0 and at most 1.
    """
    shares = set()
    for part in text.split(","):
        try:
            share = float(part)
        except ValueError:
            share = 0.0
        if not 0.0 < share <= 1.0:
            raise ValueError(
                f"--shares is {text!r}; expected numbers above 0 and at most 1, separated by "
                "commas, for example 0.1,0.25,0.5,1"
            )
        shares.add(share)
    return sorted(shares)
