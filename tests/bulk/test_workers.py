"""Batches of rows through a pipeline."""

import pytest

from spacy_tabcnn.bulk.rows import Row
from spacy_tabcnn.bulk.workers import annotate_batches

from .conftest import FOUND, TEXT, get_names


@pytest.mark.parametrize("n_process", [1, 2])
def test_each_row_has_its_result_in_order(model, n_process):
    good, bad = Row(1, {"text": TEXT}), Row(2, {}, "no text")
    batches = [[good, bad], [bad], [good]]
    results = annotate_batches(model, batches, text_field="text", n_process=n_process, gpu_id=-1)
    first, *rejected, last = results
    assert get_names({"text": TEXT, **first}) == get_names({"text": TEXT, **last}) == FOUND
    assert rejected == [{"reason": "no text"}] * 2


def test_batches_are_read_as_they_are_needed(model):
    read = []

    def read_batches():
        for number in range(3):
            read.append(number)
            yield [Row(number, {"text": TEXT})]

    results = annotate_batches(model, read_batches(), text_field="text", n_process=1, gpu_id=-1)
    next(results)
    assert read == [0]
