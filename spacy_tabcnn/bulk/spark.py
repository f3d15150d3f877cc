"""Annotation in Spark: the entities and relations of a DataFrame's texts, found by its executors.

Needs the extra `spark`, here and in the environment of the executors. Rows reach Python and go back as Arrow batches
(`mapInArrow`): in pandas (`mapInPandas`), a date that its types cannot hold would stop the job.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spacy
import torch
from spacy.language import Language

from .annotate import Result, annotate_texts, describe_model
from .output import ADDED, REASON, get_arrow_fields

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The column that says why a text could not be annotated.
ERROR = "error"


def annotate(
    df: "DataFrame",
    model: str | Path,
    *,
    text_column: str = "text",
    batch_size: int = 64,
    n_threads: int = 1,
) -> "DataFrame":
    """Add the entities and relations of its texts to a DataFrame, as lazily as Spark's own functions. The rows keep
    their order. Each Python worker loads the pipeline once, and anew if the files behind its name have changed.

    df (DataFrame): The rows.
    model (str | Path): Name or folder of the pipeline. It must be installed, or have the same path, where the executors
        run.
    text_column (str): The column that holds the text.
    batch_size (int): How many texts to annotate at once.
    n_threads (int): How many threads of torch a task may use. Spark runs a task on each core of an executor.
    RETURNS (DataFrame): The columns of the input and `entities`, an array of {start, end, label, score} in characters
        of the text, `relations`, an array of {head, tail, label, score} with indices into `entities`, and `error`. A
        text that is null or cannot be annotated stops no job: its `error` has the reason, and the other two are null.
    RAISES (ImportError): If Spark is missing.
    RAISES (ValueError): If the input has no such column, or it holds no strings, or the names of the new columns are
        taken, or an argument is malformed.
    """
    try:
        from pyspark.sql.types import (
            ArrayType,
            DoubleType,
            LongType,
            StringType,
            StructField,
            StructType,
        )
    except ImportError as err:
        raise ImportError(
            f'Annotation in Spark needs pyspark ({err}). Install it with: pip install "spacy-tabcnn[spark]"'
        ) from err

    def array_of(**types: Any) -> ArrayType:
        return ArrayType(StructType([StructField(name, type_) for name, type_ in types.items()]))

    for name, value in (("batch_size", batch_size), ("n_threads", n_threads)):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")
    if df.columns.count(text_column) != 1:
        raise ValueError(
            f"the DataFrame has {df.columns.count(text_column)} columns {text_column!r}; its columns are "
            f"{', '.join(df.columns)}. Name the one that holds the text with text_column"
        )
    if not isinstance(df.schema[text_column].dataType, StringType):
        found = df.schema[text_column].dataType.simpleString()
        raise ValueError(
            f"the column {text_column!r} holds {found}; expected string. Cast it, or name another one"
        )
    # Spark does not tell upper from lower case in names.
    taken = [name for name in df.columns if name.lower() in (*ADDED, ERROR)]
    if taken:
        raise ValueError(
            f"the DataFrame has the columns {', '.join(taken)} already, whose names are those of the annotation "
            f"({', '.join(ADDED)}, {ERROR}). Rename or drop them before"
        )
    number, text, score = LongType(), StringType(), DoubleType()
    added = [
        StructField("entities", array_of(start=number, end=number, label=text, score=score)),
        StructField("relations", array_of(head=number, tail=number, label=text, score=score)),
        StructField(ERROR, text),
    ]
    function = partial(
        annotate_batches,
        # Executors have other working directories. A name that is no folder here may be one there.
        model=str(Path(model).resolve() if Path(model).is_dir() else model),
        text_column=text_column,
        batch_size=batch_size,
        n_threads=n_threads,
    )
    return df.mapInArrow(function, StructType([*df.schema.fields, *added]))


def annotate_batches(
    batches: Iterator[Any], *, model: str, text_column: str, batch_size: int, n_threads: int
) -> Iterator[Any]:
    """Annotate the rows of a task, in one of Spark's Python workers.

    batches (Iterator[pyarrow.RecordBatch]): The rows.
    model (str): Name or folder of the pipeline.
    text_column (str): The column that holds the text.
    batch_size (int): How many texts to annotate at once.
    n_threads (int): How many threads torch may use.
    YIELDS (pyarrow.RecordBatch): The rows in order, with the columns that `annotate` adds.
    RAISES (ValueError): If there is no such pipeline.
    """
    import pyarrow as pa

    torch.set_num_threads(n_threads)
    nlp = _load_once(model, tuple(describe_model(model).values()))
    fields = [*get_arrow_fields(), pa.field(ERROR, pa.string())]
    for batch in batches:
        for start in range(0, batch.num_rows, batch_size):
            rows = batch.slice(start, batch_size)
            results = _annotate_column(nlp, rows.column(text_column).to_pylist())
            columns = [
                pa.array([result.get(field.name) for result in results], field.type)
                for field in fields
            ]
            schema = pa.schema([*rows.schema, *fields])
            yield pa.RecordBatch.from_arrays([*rows.columns, *columns], schema=schema)


def _annotate_column(nlp: Language, texts: list[str | None]) -> list[Result]:
    """Annotate texts: entities and relations, or the error, of each."""
    annotated = iter(annotate_texts(nlp, [text for text in texts if text is not None]))
    results = [{REASON: "the text is null"} if text is None else next(annotated) for text in texts]
    return [{ERROR: result[REASON]} if REASON in result else result for result in results]


@lru_cache(maxsize=1)
def _load_once(model: str, version: tuple[Any, ...]) -> Language:
    """Load a pipeline, or return the one that was loaded for the same arguments before."""
    return spacy.load(model)
