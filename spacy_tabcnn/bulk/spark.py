"""Annotation in Spark: its executors find the entities and relations of a DataFrame's texts.

Needs the extra `spark`, here and in the environment of the executors. Rows reach Python and go
back as Arrow batches (`mapInArrow`). In pandas (`mapInPandas`), a date outside the range of its
types would stop the job.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from spacy.language import Language

from ..pipeline.loading import load_pipeline
from .output import ADDED, get_arrow_fields
from .rows import RowResult
from .texts import annotate_texts, check_at_least_one, describe_model

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructField

# The column that holds the reason why a text could not be annotated.
ERROR = "error"


def annotate(
    df: "DataFrame",
    model: str | Path,
    *,
    text_column: str = "text",
    batch_size: int = 64,
    n_threads: int = 1,
) -> "DataFrame":
    """Add the entities and relations of its texts to a DataFrame, as lazily as Spark's functions.

    The rows keep their order. Each Python worker loads the pipeline once, and again if the files
    behind its name have changed.

    df (DataFrame): The rows.
    model (str | Path): Name or folder of the pipeline. It must be installed, or have the same
        path, on the machines of the executors.
    text_column (str): The column that holds the text.
    batch_size (int): Number of texts to annotate at once.
    n_threads (int): Number of torch's threads for a task. Spark runs a task on each core of an
        executor.
    RETURNS (DataFrame): The columns of the input and `entities`, an array of
        {start, end, label, score} in characters of the text, `relations`, an array of
        {head, tail, label, score} with indices into `entities`, and `error`. A text that is null
        or cannot be annotated does not stop the job: its `error` has the reason, and the other
        two are null.
    RAISES (ImportError): If Spark is missing.
    RAISES (ValueError): If the input has no such column, or it holds no strings, or the names of
        the new columns are taken, or an argument is malformed.
    """
    try:
        from pyspark.sql.types import StructType
    except ImportError as err:
        raise ImportError(
            f"Annotation in Spark needs pyspark ({err}). Install it with: pip install "
            '"spacy-tabcnn[spark]"'
        ) from err
    check_at_least_one(batch_size=batch_size, n_threads=n_threads)
    _check_text_column(df, text_column)
    _check_names(df)
    # Executors have other working directories. A name that is no folder here may be one there.
    if Path(model).is_dir():
        model = Path(model).resolve()
    function = partial(
        annotate_batches,
        model=str(model),
        text_column=text_column,
        batch_size=batch_size,
        n_threads=n_threads,
    )
    return df.mapInArrow(function, StructType([*df.schema.fields, *_get_spark_fields()]))


def annotate_batches(
    batches: "Iterator[pa.RecordBatch]",
    *,
    model: str,
    text_column: str,
    batch_size: int,
    n_threads: int,
) -> "Iterator[pa.RecordBatch]":
    """Annotate the rows of a task, in one of Spark's Python workers.

    batches (Iterator[pyarrow.RecordBatch]): The rows.
    model (str): Name or folder of the pipeline.
    text_column (str): The column that holds the text.
    batch_size (int): Number of texts to annotate at once.
    n_threads (int): Number of torch's threads.
    YIELDS (pyarrow.RecordBatch): The rows in order, with the columns that `annotate` adds.
    RAISES (ValueError): If there is no such pipeline, or it predicts no relations.
    """
    torch.set_num_threads(n_threads)
    nlp = _load_once(model, tuple(describe_model(model).values()))
    for batch in batches:
        for start in range(0, batch.num_rows, batch_size):
            rows = batch.slice(start, batch_size)
            texts = rows.column(text_column).to_pylist()
            yield _add_results(rows, _annotate_column(nlp, texts))


def _check_text_column(df: "DataFrame", name: str) -> None:
    from pyspark.sql.types import StringType

    if df.columns.count(name) != 1:
        raise ValueError(
            f"the DataFrame has {df.columns.count(name)} columns {name!r}; its columns are "
            f"{', '.join(df.columns)}. Name the one that holds the text with text_column"
        )
    type_ = df.schema[name].dataType
    if not isinstance(type_, StringType):
        raise ValueError(
            f"the column {name!r} holds {type_.simpleString()}; expected string. Cast it, or name "
            "another one"
        )


def _check_names(df: "DataFrame") -> None:
    """Check that the names of the new columns are free; Spark ignores the case of names."""
    taken = [name for name in df.columns if name.lower() in (*ADDED, ERROR)]
    if taken:
        raise ValueError(
            f"the DataFrame has the columns {', '.join(taken)} already, but the annotation has "
            f"these names too ({', '.join(ADDED)}, {ERROR}). Rename or drop them before"
        )


def _get_spark_fields() -> "list[StructField]":
    """Return the new columns in Spark's types."""
    from pyspark.sql.types import (
        ArrayType,
        DoubleType,
        LongType,
        StringType,
        StructField,
        StructType,
    )

    entity = StructType()
    relation = StructType()
    for name in ("start", "end"):
        entity.add(name, LongType())
    for name in ("head", "tail"):
        relation.add(name, LongType())
    for struct in (entity, relation):
        struct.add("label", StringType()).add("score", DoubleType())
    return [
        StructField("entities", ArrayType(entity)),
        StructField("relations", ArrayType(relation)),
        StructField(ERROR, StringType()),
    ]


def _annotate_column(nlp: Language, texts: list[str | None]) -> list[RowResult]:
    """Annotate texts: a null has its reason, as a text that fails."""
    annotated = iter(annotate_texts(nlp, [text for text in texts if text is not None]))
    results: list[RowResult] = []
    for text in texts:
        if text is None:
            results.append({"reason": "the text is null"})
        else:
            results.append(next(annotated))
    return results


def _add_results(rows: "pa.RecordBatch", results: Iterable[RowResult]) -> "pa.RecordBatch":
    """Add the columns of the annotation to rows."""
    import pyarrow as pa

    entities, relations, errors = [], [], []
    for result in results:
        entities.append(result.get("entities"))
        relations.append(result.get("relations"))
        errors.append(result.get("reason"))
    fields = [*get_arrow_fields(), pa.field(ERROR, pa.string())]
    columns = list(rows.columns)
    for field, values in zip(fields, (entities, relations, errors), strict=True):
        columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([*rows.schema, *fields]))


@lru_cache(maxsize=1)
def _load_once(model: str, version: tuple[str | int, ...]) -> Language:
    """Load a pipeline, or return the pipeline that the same arguments have loaded before."""
    return load_pipeline(model)
