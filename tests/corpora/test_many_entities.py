"""Long texts with many entities: the time grows with their number, not with its square."""

import time
from itertools import pairwise

import pytest
from spacy.tokens import Doc, Span

from spacy_tabcnn.corpora.brat import BratDocument, brat_to_docs
from spacy_tabcnn.corpora.conversion import Alignment
from spacy_tabcnn.corpora.doccano import doccano_to_docs
from spacy_tabcnn.corpora.formats import FORMATS, read_annotations, write_annotations
from spacy_tabcnn.corpora.options import Overlap, ReadingOptions
from spacy_tabcnn.corpora.records import read_records

N_ENTITIES = 5_000
# A quadratic reader takes half a minute, a linear one a fraction of a second.
MAX_SECONDS = 3.0


@pytest.fixture(scope="module")
def long_doc(nlp):
    doc = Doc(nlp.vocab, words=["Łódź", "met", "Ann", "."] * N_ENTITIES)
    spans = [Span(doc, start, start + 1, label="PER") for start in range(0, len(doc), 4)]
    doc.set_ents(spans)
    doc._.relations = [(*pair, "Knows") for pair in pairwise(spans)]
    return doc


def measure(function, *args, **kwargs):
    """Return the result of a call, which has to take little CPU time."""
    start = time.process_time()
    result = function(*args, **kwargs)
    assert time.process_time() - start < MAX_SECONDS
    return result


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_text_with_many_entities_is_written_and_read(nlp, tmp_path, long_doc, format_name):
    path = tmp_path / "a.json"
    measure(write_annotations, path, [long_doc], format_name=format_name)
    [doc], report = measure(read_annotations, path, nlp, format_name=format_name)
    assert len(doc.ents) == report.entities.total() == N_ENTITIES
    assert report.relations.total() == N_ENTITIES - 1


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("align", [Alignment.EXPAND, Alignment.SPLIT])
def test_many_entities_of_the_same_characters(nlp, overlap, align):
    text = "24h " * N_ENTITIES
    entities = []
    for index in range(N_ENTITIES):
        start = index // 2
        offsets = {"start_offset": start, "end_offset": len(text) - 2 - start}
        entities.append({"id": index, "label": "X", **offsets})
    options = ReadingOptions(overlap=overlap, align=align)
    record = {"text": text, "entities": entities}
    _, report = measure(doccano_to_docs, [record], nlp, options=options)
    assert report.n_entities_read == N_ENTITIES


@pytest.mark.parametrize("blank", [" ", "\u3000"])
def test_many_entities_of_white_space(nlp, blank):
    text = blank * 50_000
    entities = []
    for start in range(N_ENTITIES):
        entities.append({"id": start, "label": "X", "start_offset": start, "end_offset": 50_000})
    _, report = measure(doccano_to_docs, [{"text": text, "entities": entities}], nlp)
    assert report.n_entities_read == N_ENTITIES


@pytest.mark.parametrize(
    "line",
    [
        "R1\tX " + "a:" * 50_000 + " " + "b:" * 50_000 + " x",
        "E1\t" + ":a" * 50_000 + " " + "b:" * 50_000 + " x",
        "T1\tX " + "1 2;" * 50_000,
        "T1\t" + "X " * 50_000,
    ],
)
def test_lines_of_brat_of_any_length(nlp, line):
    with pytest.raises(ValueError, match=r"a\.ann, line 1: cannot read"):
        measure(brat_to_docs, [BratDocument("a", "text", [line])], nlp)


@pytest.mark.parametrize(
    "text",
    [
        '["' + '\\"' * 100_000 + "x" * 100_000,
        "[" + ",\n".join(['{"a": x}'] * 20_000) + "]",
        "[" * 200_000,
        '{"a": ' * 50_000,
    ],
    ids=["quotes in a string that is not closed", "bad records", "open lists", "open objects"],
)
def test_bad_json_of_any_length(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    records = measure(list, read_records(tmp_path / "a.json", unit="record"))
    assert all(record.problem for record in records)
