"""The JSONL of Prodigy's recipe `rel.manual`, one task a line: `{text, tokens: [{text, start, end, id, ws}],
spans: [{start, end, token_start, token_end, label}], relations: [{head, child, head_span, child_span, label}],
answer}`.

Offsets count characters (code points: spaCy counts them) and `end` is exclusive, while `token_end` is inclusive. `head`
and `child` are the last tokens of the arguments, `head_span` and `child_span` their spans (absent or null in relations
between tokens). See Prodigy's documentation: "Annotation interfaces", `relations`.
"""

import json
from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from .annotations import (
    ORIG_ID,
    RelationIndices,
    annotate,
    check_tokens,
    get_field,
    get_label,
    parse_lines,
)
from .characters import CharacterEntities, check_offsets, extract_spans
from .report import ConversionReport, Reason

ACCEPT = "accept"
# What becomes of a task with another answer is told in the report under these names.
_NOT_ACCEPTED = {"reject": "rejected documents", "ignore": "ignored documents"}


def prodigy_to_docs(
    lines: Iterable[str], nlp: Language, *, source: str = "<data>", strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Turn Prodigy's JSONL into annotated documents with the tokens of the file. Rejected and ignored tasks are counted
    only; a task without an answer counts as accepted, as in `prodigy db-in`.

    lines (Iterable[str]): The lines, read one by one; blank ones are skipped.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for where, task in parse_lines(lines, source):
        answer = get_field(task, "answer", str, where) if "answer" in task else ACCEPT
        if answer in _NOT_ACCEPTED:
            report.ignored[_NOT_ACCEPTED[answer]] += 1
            continue
        if answer != ACCEPT:
            raise ValueError(
                f"{where}: the answer is {answer!r}; expected {ACCEPT}, {' or '.join(_NOT_ACCEPTED)}"
            )
        found = CharacterEntities(_make_doc(task, nlp, where), report)
        for position, span in enumerate(_get_items(task, "spans", where)):
            here = f"{where}, span {position}"
            start, end = _get_offsets(span, here)
            # Relations name their arguments by the offsets; of two entities in one place that is the first.
            item_id = None if (start, end) in found.index_of else (start, end)
            found.add(item_id, start, end, get_label(span, "label", here), here)
        relations = _get_relations(task, found, where)
        meta = task.get("meta")
        orig_id = meta.get("id") if isinstance(meta, dict) else None
        docs.append(
            annotate(
                found.doc, found.entities, relations, orig_id=orig_id, report=report, where=where
            )
        )
    return docs, report


def docs_to_prodigy(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into Prodigy's JSONL, with their tokens and the answer "accept". A document's id goes to
    `meta.id`, which Prodigy shows with the task. Scores have no place in this format.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    for _, doc, spans, relations in extract_spans(docs, report=report, source=source):
        task: dict[str, Any] = {
            "text": doc.text,
            "tokens": [
                {
                    "text": token.text,
                    "start": token.idx,
                    "end": token.idx + len(token),
                    "id": token.i,
                    "ws": bool(token.whitespace_),
                }
                for token in doc
            ],
            "spans": [{"text": span.text, **_span_fields(span)} for span in spans],
            "relations": [
                {
                    "head": spans[head].end - 1,
                    "child": spans[child].end - 1,
                    "head_span": _span_fields(spans[head]),
                    "child_span": _span_fields(spans[child]),
                    "label": label,
                }
                for head, child, label in relations
            ],
            "answer": ACCEPT,
        }
        if ORIG_ID in doc.user_data:
            task["meta"] = {"id": doc.user_data[ORIG_ID]}
        lines.append(json.dumps(task, ensure_ascii=False))
    return lines, report


def _make_doc(task: Any, nlp: Language, where: str) -> Doc:
    text, tokens = get_field(task, "text", str, where), get_field(task, "tokens", list, where)
    here = [f"{where}, token {position}" for position in range(len(tokens))]
    words = [
        get_field(token, "text", str, place) for token, place in zip(tokens, here, strict=True)
    ]
    starts = [
        get_field(token, "start", int, place) for token, place in zip(tokens, here, strict=True)
    ]
    # As the field `ws`, which tasks of other tools may lack.
    following = [*starts, len(text)][1:]
    spaces = [
        start + len(word) < then for start, word, then in zip(starts, words, following, strict=True)
    ]
    doc = Doc(nlp.vocab, words=check_tokens(words, where), spaces=spaces)
    if doc.text != text:
        shifted = [
            token.text for token, start in zip(doc, starts, strict=True) if token.idx != start
        ]
        raise ValueError(
            f"{where}: the tokens do not spell the text"
            + (f" from {shifted[0]!r} on" if shifted else "")
            + ". Give each character of the text to a token, save for one space between tokens"
        )
    return doc


def _get_relations(task: Any, found: CharacterEntities, where: str) -> list[RelationIndices]:
    ends = {
        entity[1] - 1: index for index, entity in enumerate(found.entities) if entity is not None
    }
    relations = []
    for position, relation in enumerate(_get_items(task, "relations", where)):
        here = f"{where}, relation {position}"
        label = get_label(relation, "label", here)
        indices, texts = [], []
        for key in ("head", "child"):
            if relation.get(f"{key}_span") is None:
                token = get_field(relation, key, int, here)
                if not 0 <= token < len(found.doc):
                    raise ValueError(
                        f"{here}: {key} is token {token}, but the text has {len(found.doc)} tokens"
                    )
                indices.append(ends.get(token))
                texts.append(found.doc[token].text)
            else:
                start, end = _get_offsets(
                    get_field(relation, f"{key}_span", dict, here), f"{here}, {key}"
                )
                check_offsets(start, end, len(found.doc.text), f"{here}, {key}")
                indices.append(found.index_of.get((start, end)))
                texts.append(found.doc.text[start:end])
        head, tail = indices
        if head is None or tail is None:
            found.report.drop(Reason.NOT_AN_ENTITY, here, f"{label} ({texts[0]!r} -> {texts[1]!r})")
        else:
            relations.append((head, tail, label))
    return relations


def _get_items(task: Any, key: str, where: str) -> list[Any]:
    # A task in which nothing was marked may lack the field.
    return get_field(task, key, list, where) if key in task else []


def _get_offsets(span: Any, here: str) -> tuple[int, int]:
    return get_field(span, "start", int, here), get_field(span, "end", int, here)


def _span_fields(span: Span) -> dict[str, Any]:
    return {
        "start": span.start_char,
        "end": span.end_char,
        "token_start": span.start,
        "token_end": span.end - 1,
        "label": span.label_,
    }
