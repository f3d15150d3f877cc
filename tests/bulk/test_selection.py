"""Files of selected documents."""

import pytest

from spacy_tabcnn.bulk.selection import Selection, write_selection
from spacy_tabcnn.corpora.formats import FORMATS


@pytest.mark.parametrize("format_name", [*FORMATS, None])
def test_nothing_is_selected(tmp_path, format_name):
    path = tmp_path / "next"
    write_selection(path, Selection([], {}), format_name=format_name)
    assert path.exists()
    assert (tmp_path / "next.scores.jsonl").read_bytes() == b""
