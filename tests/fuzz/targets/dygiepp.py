"""The JSONL of DyGIE++."""

from hypothesis import strategies as st

from ..annotated import texts
from ..readers import Counts, json_target


@st.composite
def _records(draw):
    records = []
    for _ in range(draw(st.integers(1, 2))):
        records.append(_make_record(draw(texts())))
    return records


def _make_record(sentences) -> dict:
    record = {"doc_key": sentences[0].orig_id, "sentences": [], "ner": [], "relations": []}
    first = 0
    for text in sentences:
        spans = [[first + start, first + end - 1] for start, end, _ in text.entities]
        labels = [label for _, _, label in text.entities]
        record["sentences"].append(text.words)
        record["ner"].append([[*span, label] for span, label in zip(spans, labels, strict=True)])
        record["relations"].append(
            [[*spans[head], *spans[tail], label] for head, tail, label in text.relations]
        )
        first += len(text.words)
    record["clusters"] = []
    return record


def _count(records, options) -> Counts:
    n_entities = n_relations = 0
    for record in records:
        n_entities += sum(map(len, record.get("ner") or []))
        n_relations += sum(map(len, record.get("relations") or []))
    return Counts(len(records), n_entities, n_relations)


TARGET = json_target("dygiepp", _records(), _count)
