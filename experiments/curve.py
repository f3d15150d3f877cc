"""Learning curves: systems trained on shares of a corpus."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc
from spacy.util import load_config

from .grid import Overrides, Run
from .results import RunScores
from .selection import RANDOM, SimulatedAnnotation, draw_order, read_pool


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
        numbers = self._count_documents(len(self._read(run.system)))
        train = SimulatedAnnotation(
            self.systems[run.system],
            self.overrides,
            self.output / run.system,
            numbers,
            self.gpu_id,
        )
        return train(Run(RANDOM, run.seed), chosen)

    def check(self, seeds: Iterable[int]) -> None:
        """Check that the smallest share of each seed has something to learn from.

        seeds (Iterable[int]): The seeds.
        RAISES (ValueError): If its documents have no entity.
        """
        for system in self.systems:
            docs = self._read(system)
            smallest, *_ = self._count_documents(len(docs))
            for seed in seeds:
                order = draw_order(len(docs), seed)
                if not any(docs[position].ents for position in order[:smallest]):
                    raise ValueError(
                        f"{system}: the {smallest} documents of the share {self.shares[0]:g} have "
                        f"no entity with the seed {seed}. Raise the smallest of --shares"
                    )

    def _read(self, system: str) -> list[Doc]:
        """Read the training corpus of a system."""
        overrides = dict(self.overrides)
        config = load_config(self.systems[system], overrides=overrides, interpolate=True)
        return read_pool(Path(config["paths"]["train"]))

    def _count_documents(self, n_docs: int) -> list[int]:
        """Return the number of documents of each share."""
        return [max(1, round(share * n_docs)) for share in self.shares]


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
