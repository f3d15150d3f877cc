"""doccano's JSONL."""

from hypothesis import strategies as st

from ..annotated import Annotated, texts
from ..readers import Counts, json_target


@st.composite
def _records(draw):
    return [_make_record(draw, text) for text in draw(texts())]


def _make_record(draw, text: Annotated) -> dict:
    ids = draw(st.sampled_from([lambda index: index, lambda index: f"e{index}"]))
    entities = []
    for index, (start, end, label) in enumerate(text.entities):
        first, last = text.find(start, end)
        entities.append(
            {"id": ids(index), "start_offset": first, "end_offset": last, "label": label}
        )
    relations = []
    for index, (head, tail, label) in enumerate(text.relations):
        relations.append({"id": index, "from_id": ids(head), "to_id": ids(tail), "type": label})
    record = {"id": text.orig_id, "text": text.text, "entities": entities, "relations": relations}
    if draw(st.booleans()):
        record["Comments"] = []
    return record


def _count(records, options) -> Counts:
    n_entities = sum(len(record["entities"]) for record in records)
    n_relations = sum(len(record.get("relations") or []) for record in records)
    return Counts(len(records), n_entities, n_relations)


TARGET = json_target("doccano", _records(), _count)
