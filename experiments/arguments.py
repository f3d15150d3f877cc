"""Arguments that several commands of `python -m experiments` have."""

from typing import Annotated

import typer

StorageArgument = Annotated[
    str,
    typer.Argument(
        metavar="STORAGE", help="SQLite file, or the URL of a database that machines share"
    ),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", help="Number of random seeds, from 1 on", min=1)
]
CorpusOption = Annotated[str, typer.Option("--corpus", help="Name of the corpus, for the results")]
GpuOption = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID, or -1 for the CPU")]
