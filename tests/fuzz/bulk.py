"""Bulk annotation without a pipeline, for targets."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from spacy_tabcnn.bulk import annotate
from spacy_tabcnn.bulk.rows import Row, RowResult


@contextmanager
def no_pipeline() -> Iterator[None]:
    """Let `annotate_file` annotate without a pipeline: each result shows its row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotate, "check_pipeline", lambda model: None)
        patch.setattr(annotate, "describe_model", lambda model: {"model": "model"})
        patch.setattr(annotate, "annotate_batches", _annotate)
        yield


def _annotate(
    model: object, batches: Iterable[list[Row]], **options: object
) -> Iterator[RowResult]:
    for rows in batches:
        for row in rows:
            if row.reason is not None:
                yield {"reason": row.reason}
            elif row.line % 5 == 0:
                yield {"reason": f"reason {row.line}"}
            else:
                entity = {"start": 0, "end": row.line, "label": "LOC", "score": 0.5}
                yield {"entities": [entity], "relations": []}
