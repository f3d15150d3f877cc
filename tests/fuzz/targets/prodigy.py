"""Prodigy's JSONL."""

from hypothesis import strategies as st

from ..annotated import Annotated, texts
from ..readers import Counts, json_target

_ANSWERS = st.sampled_from(["accept"] * 6 + ["reject", "ignore", None])


@st.composite
def _records(draw):
    return [_make_record(draw, text) for text in draw(texts())]


def _make_record(draw, text: Annotated) -> dict:
    spans = [_make_span(text, *entity) for entity in text.entities]
    record = {"text": text.text, "spans": spans}
    if draw(st.booleans()):
        record["tokens"] = list(_make_tokens(text))
    by_token = "tokens" in record and draw(st.booleans())
    record["relations"] = [
        _make_relation(spans, *relation, by_token) for relation in text.relations
    ]
    answer = draw(_ANSWERS)
    if answer is not None:
        record["answer"] = answer
    if text.orig_id is not None:
        record["meta"] = {"id": text.orig_id}
    if draw(st.booleans()):
        record |= {"_input_hash": draw(st.sampled_from([1, 2])), "_annotator_id": "set-ada"}
    return record


def _make_span(text: Annotated, start: int, end: int, label: str) -> dict:
    first, last = text.find(start, end)
    return {"start": first, "end": last, "token_start": start, "token_end": end - 1, "label": label}


def _make_tokens(text: Annotated):
    for index, word in enumerate(text.words):
        start, end = text.find(index, index + 1)
        yield {"text": word, "start": start, "end": end, "id": index, "ws": True}


def _make_relation(spans, head: int, tail: int, label: str, by_token: bool) -> dict:
    relation = {"head": spans[head]["token_end"], "child": spans[tail]["token_end"], "label": label}
    if not by_token:
        relation |= {"head_span": spans[head], "child_span": spans[tail]}
    return relation


def _count(records, options) -> Counts:
    if any("_input_hash" in record for record in records) or options.annotator == "ada":
        return Counts(None, None, None)
    n_docs = n_entities = n_relations = 0
    for record in records:
        if record.get("answer", "accept") == "accept":
            n_docs += 1
            n_entities += len(record.get("spans", []))
            n_relations += len(record.get("relations") or [])
    return Counts(n_docs, n_entities, n_relations)


TARGET = json_target("prodigy", _records(), _count)
