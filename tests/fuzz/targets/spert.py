"""SpERT's JSON."""

from hypothesis import strategies as st

from ..annotated import Annotated, texts
from ..readers import Counts, json_target


@st.composite
def _records(draw):
    return list(map(_make_record, draw(texts())))


def _make_record(text: Annotated) -> dict:
    entities = [{"type": label, "start": start, "end": end} for start, end, label in text.entities]
    relations = [
        {"type": label, "head": head, "tail": tail} for head, tail, label in text.relations
    ]
    record = {"tokens": text.words, "entities": entities, "relations": relations}
    if text.orig_id is not None:
        record["orig_id"] = text.orig_id
    return record


def _count(records, options) -> Counts:
    n_entities = sum(len(record["entities"]) for record in records)
    n_relations = sum(len(record.get("relations") or []) for record in records)
    return Counts(len(records), n_entities, n_relations)


TARGET = json_target("spert", _records(), _count)
