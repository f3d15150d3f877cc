"""TablERT's JSON."""

from hypothesis import strategies as st

from ..annotated import Annotated, texts
from ..readers import Counts, json_target


@st.composite
def _records(draw):
    return list(map(_make_record, draw(texts())))


def _make_record(text: Annotated) -> dict:
    tags = ["O"] * len(text.words)
    n_entities = 0
    for start, end, label in text.entities:
        if set(tags[start:end]) == {"O"}:
            tags[start:end] = _tag(end - start, label)
            n_entities += 1
    relations = []
    for head, tail, label in text.relations:
        if max(head, tail) < n_entities:
            relations.append({"type": label, "head": head, "tail": tail})
    return {"tokens": text.words, "tags": tags, "relations": relations, "orig_id": text.orig_id}


def _tag(length: int, label: str) -> list[str]:
    if length == 1:
        return [f"U-{label}"]
    return [f"B-{label}", *[f"I-{label}"] * (length - 2), f"L-{label}"]


def _count(records, options) -> Counts:
    n_entities = n_relations = 0
    for record in records:
        n_entities += sum(tag.startswith(("B-", "U-")) for tag in record["tags"])
        n_relations += len(record.get("relations") or [])
    return Counts(len(records), n_entities, n_relations)


TARGET = json_target("tablert", _records(), _count)
