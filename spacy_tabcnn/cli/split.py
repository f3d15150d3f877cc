"""`spacy tabcnn split`: a corpus divided into a training, a development and a test corpus."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from spacy.tokens import Doc
from spacy.vocab import Vocab
from wasabi import msg

from ..corpora.docbin import DOCBIN_SUFFIX, read_docbin, write_docbin
from ..corpora.split import LabelCounts, count_labels, split_documents
from ..files import check_outputs, fill_folder
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind

TRAIN, DEV, TEST = "train", "dev", "test"


@tabcnn_cli.command("split")
def split_cli(
    corpus: Annotated[Path, typer.Argument(metavar="IN", help="Corpus: a .spacy file")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for train.spacy and dev.spacy")
    ],
    *,
    dev: Annotated[
        float, typer.Option("--dev", "-d", help="Share of the documents in dev.spacy")
    ] = 0.15,
    test: Annotated[
        float,
        typer.Option("--test", "-t", help="Share of the documents in test.spacy; 0: no such file"),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option("--seed", "-s", help="Chooses among divisions that are equally good")
    ] = 0,
) -> None:
    """
    Divide a corpus into train.spacy, dev.spacy and, with --test, test.spacy.

    Documents stay whole, and documents with the same text stay in one file. Each
    file gets its share of each label, as far as the documents allow it. The same
    seed gives the same files.

    EXAMPLE:

    spacy tabcnn split all.spacy corpus --dev 0.15 --test 0.15
    """
    try:
        check_kind(corpus, Kind.CORPUS, others=[output])
        if output.is_file():
            raise ValueError(f"{output} is a file, not a folder. Did you swap the arguments?")
        parts = split(corpus, output, dev=dev, test=test, seed=seed)
    except (OSError, ValueError) as err:
        msg.fail("Could not divide the corpus", str(err), exits=1)
    _print_counts(parts)
    if TEST not in parts and (output / f"{TEST}{DOCBIN_SUFFIX}").exists():
        msg.warn(
            f"{output / TEST}{DOCBIN_SUFFIX} is from an earlier division",
            "Its documents may be in the other files. Remove it, or ask for a new one with --test",
        )
    for name, docs in parts.items():
        msg.good(f"{len(docs)} documents in {output / name}{DOCBIN_SUFFIX}")


def split(
    corpus: Path, output: Path, *, dev: float = 0.15, test: float = 0.0, seed: int = 0
) -> dict[str, list[Doc]]:
    """Divide a corpus and write its parts.

    corpus (Path): The corpus, a .spacy file.
    output (Path): The folder for the parts. It is made if needed.
    dev (float): Share of the documents in dev.spacy, between 0 and 1.
    test (float): Share of the documents in test.spacy; 0 for no such file.
    seed (int): Chooses among divisions that are equally good.
    RETURNS (dict[str, list[Doc]]): The documents of "train", "dev" and "test", in their order.
    RAISES (ValueError): If the corpus cannot be read or divided, or a part would replace it.
    """
    shares = _get_shares(dev, test)
    outputs = []
    for name in shares:
        outputs.append(output / f"{name}{DOCBIN_SUFFIX}")
    check_outputs(outputs, [corpus])
    docs = list(read_docbin(corpus, Vocab()))
    part_of = split_documents(docs, list(shares.values()), seed=seed)
    parts: dict[str, list[Doc]] = {}
    for number, name in enumerate(shares):
        parts[name] = [doc for doc, part in zip(docs, part_of, strict=True) if part == number]
    with fill_folder(output) as folder:
        for name, part_docs in parts.items():
            write_docbin(folder / f"{name}{DOCBIN_SUFFIX}", part_docs)
    return parts


def _get_shares(dev: float, test: float) -> dict[str, float]:
    """Return the share of each part that is asked for."""
    if not 0.0 < dev < 1.0:
        raise ValueError(f"--dev is {dev}; expected a share between 0 and 1, such as 0.15")
    if not 0.0 <= test < 1.0:
        raise ValueError(f"--test is {test}; expected 0 or a share below 1, such as 0.15")
    if dev + test >= 1.0:
        raise ValueError(f"--dev {dev} and --test {test} leave no document for train.spacy")
    shares = {TRAIN: 1.0 - dev - test, DEV: dev, TEST: test}
    if not test:
        del shares[TEST]
    return shares


def _print_counts(parts: dict[str, list[Doc]]) -> None:
    counts: dict[str, LabelCounts] = {}
    for name, docs in parts.items():
        counts[name] = Counter()
        for doc in docs:
            counts[name].update(count_labels(doc))
    total: LabelCounts = sum(counts.values(), Counter())
    for kind, title in (("entity", "Entities"), ("relation", "Relations")):
        rows = []
        for label, _ in total.most_common():
            if label[0] == kind:
                rows.append((label[1], *(count[label] for count in counts.values())))
        aligns = ("l", *("r" * len(counts)))
        msg.table(rows, header=(title, *counts), divider=True, aligns=aligns, max_col=60)
