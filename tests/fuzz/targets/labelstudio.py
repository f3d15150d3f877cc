"""Label Studio's JSON."""

from hypothesis import strategies as st

from ..annotated import Annotated, texts
from ..readers import Counts, json_target

_DIRECTIONS = st.sampled_from(["right", "left", "bi"])
_MARKUP = ["", "", "", "", "<p>", "</p>", "<br>", "<![x[", "<!", "<!--", "<?", "&", "&#x110000;"]
_MARKUP += [
    "&#0;",
    "&#xd800;",
    "<script>",
    "<style>",
    "</script",
    "<a b=",
    "<" * 50,
    "&" * 50,
    "&nbsp",
]
_TEXT_LABELS = ("labels", "hypertextlabels", "paragraphlabels")


@st.composite
def _records(draw):
    kind = draw(st.sampled_from(["labels", "labels", "hypertextlabels", "paragraphlabels"]))
    return [_make_record(draw, text, kind) for text in draw(texts())]


def _make_record(draw, text: Annotated, kind: str) -> dict:
    result = [_make_region(text, kind, index) for index in range(len(text.entities))]
    for head, tail, label in text.relations:
        result.append(
            {
                "type": "relation",
                "from_id": f"r{head}",
                "to_id": f"r{tail}",
                "direction": draw(_DIRECTIONS),
                "labels": [label] * draw(st.integers(0, 2)),
            }
        )
    if draw(st.booleans()):
        result.append({"id": "c", "type": "choices", "value": {"choices": ["x"]}})
    annotation = {"result": result, "was_cancelled": False, "completed_by": 1}
    content = text.text
    if kind == "hypertextlabels":
        content = draw(st.sampled_from(_MARKUP)) + content + draw(st.sampled_from(_MARKUP))
    if kind == "paragraphlabels":
        content = [{"author": "a", "text": text.text}]
    field = draw(st.sampled_from(["text", "text", "body"]))
    annotations = [annotation] * draw(st.sampled_from([1, 1, 1, 2]))
    place = draw(st.sampled_from(["annotations", "annotations", "completions", "predictions"]))
    return {"id": text.orig_id, "data": {field: content}, place: annotations}


def _make_region(text: Annotated, kind: str, index: int) -> dict:
    start, end, label = text.entities[index]
    first, last = text.find(start, end)
    value = {"start": first, "end": last, "text": text.text[first:last], kind: [label]}
    if kind == "hypertextlabels":
        value |= {"start": "/p[1]/text()[1]", "globalOffsets": {"start": first, "end": last}}
    if kind == "paragraphlabels":
        value |= {"start": "0", "end": "0", "startOffset": first, "endOffset": last}
    return {"id": f"r{index}", "type": kind, "from_name": "l", "to_name": "text", "value": value}


def _count(records, options) -> Counts:
    n_docs = n_entities = n_relations = 0
    for record in records:
        annotations = _choose(record, options)
        n_docs += len(annotations)
        for annotation in annotations:
            for result in annotation.get("result") or []:
                kind = result["type"]
                if kind.endswith("labels"):
                    n_entities += _count_labels(result, kind)
                elif kind == "relation":
                    n_relations += _count_pairs(result)
    return Counts(n_docs, n_entities, n_relations)


def _choose(record: dict, options) -> list:
    """Return the annotations that are read."""
    field = "annotations" if record.get("annotations") is not None else "completions"
    completed = [item for item in _list(record, field) if not item.get("was_cancelled")]
    if not completed:
        return _list(record, "predictions")[: int(options.predictions)]
    if options.annotator == "ada":
        return []
    if options.annotator == "all":
        return completed
    return completed[:1]


def _list(record: dict, field: str) -> list[dict]:
    """Return the annotations in a field; other values are counted as tasks without annotation."""
    items = record.get(field)
    if not isinstance(items, list):
        return []
    return [item for item in items if isinstance(item, dict)]


def _count_labels(result: dict, kind: str) -> int:
    if kind not in _TEXT_LABELS:
        return 1
    value = result["value"]
    return max(1, len(value.get(kind) or value.get("labels") or []))


def _count_pairs(result: dict) -> int:
    n_pairs = 2 if result.get("direction") == "bi" else 1
    labels = result.get("labels") or []
    return max(1, n_pairs * len(labels))


TARGET = json_target("labelstudio", _records(), _count)
