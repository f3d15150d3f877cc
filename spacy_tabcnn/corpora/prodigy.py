"""The JSONL of Prodigy's recipe `rel.manual`.

Each line is one task:

    {text, tokens: [{text, start, end, id, ws}],
     spans: [{start, end, token_start, token_end, label}],
     relations: [{head, child, head_span, child_span, label}], answer}

Offsets count characters (code points, as in spaCy). `end` is exclusive, while `token_end` is
inclusive. `head` and `child` are the last tokens of the arguments. `head_span` and `child_span` are
their spans; they are absent or null in relations between tokens. See Prodigy's documentation:
"Annotation interfaces", `relations`.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence

from spacy.language import Language
from spacy.tokens import Doc, Span, Token

from .character_formats import CharacterEntities, GoldSpans, get_gold_spans
from .conversion import ConversionReport, Reason
from .fields import check_offsets, check_tokens, get_field, get_items, get_label, get_optional
from .files import JsonObject, JsonValue, parse_lines, render_line
from .gold import ORIG_ID, RelationIndices
from .options import DEFAULT_OPTIONS, ReadingOptions

ACCEPT = "accept"
# Tasks with another answer are not read. The report counts them under these names.
_NOT_ACCEPTED = {"reject": "rejected documents", "ignore": "ignored documents"}


def prodigy_to_docs(
    lines: Iterable[str],
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn Prodigy's JSONL into annotated documents with the tokens of the file.

    Rejected and ignored tasks are only counted. A task without an answer counts as accepted, as in
    `prodigy db-in`.

    lines (Iterable[str]): The lines, read one by one; blank lines are skipped.
    nlp (Language): Gives the vocabulary.
    source (str): The file, for messages.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for where, task in parse_lines(lines, source):
        if _is_accepted(task, report, where):
            docs.append(_read_document(task, nlp, report, where, options))
    return docs, report


def docs_to_prodigy(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into Prodigy's JSONL, with their tokens and the answer "accept".

    The id of a document goes to `meta.id`, which Prodigy shows with the task. The format has no
    place for scores.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and counts of the written and the
        left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    for gold in get_gold_spans(docs, report=report, source=source):
        lines.append(render_line(_render_document(gold)))
    return lines, report


def _is_accepted(task: JsonValue, report: ConversionReport, where: str) -> bool:
    """Check the answer of a task, and count a task that was not accepted."""
    answer = get_field(task, "answer", str, where, default=ACCEPT)
    if answer in _NOT_ACCEPTED:
        report.ignored[_NOT_ACCEPTED[answer]] += 1
        return False
    if answer != ACCEPT:
        others = " or ".join(_NOT_ACCEPTED)
        raise ValueError(f"{where}: the answer is {answer!r}; expected {ACCEPT}, {others}")
    return True


def _read_document(
    task: JsonValue, nlp: Language, report: ConversionReport, where: str, options: ReadingOptions
) -> Doc:
    found = CharacterEntities(_make_doc(task, nlp, where), report, options)
    _add_entities(task, found, where)
    relations = _get_relations(task, found, where)
    orig_id = get_optional(get_optional(task, "meta"), "id")
    return found.set_gold(relations, orig_id=orig_id, where=where)


def _make_doc(task: JsonValue, nlp: Language, where: str) -> Doc:
    text = get_field(task, "text", str, where)
    words: list[JsonValue] = []
    starts: list[int] = []
    ends: list[int] = []
    for here, token in get_items(task, "tokens", "token", where):
        word = get_field(token, "text", str, here)
        start = get_field(token, "start", int, here)
        words.append(word)
        starts.append(start)
        ends.append(start + len(word))
    # The field `ws` says the same, but tasks of other tools may lack it.
    next_starts = [*starts[1:], len(text)]
    spaces = list(map(operator.lt, ends, next_starts))
    doc = Doc(nlp.vocab, words=check_tokens(words, where), spaces=spaces)
    if doc.text != text:
        raise ValueError(
            f"{where}: the tokens do not spell the text{_find_shift(doc, starts)}. "
            "Give each character of the text to a token, except for one space between tokens"
        )
    return doc


def _find_shift(doc: Doc, starts: Sequence[int]) -> str:
    """Return the first token of a document that begins elsewhere in its text, for a message."""
    for token, start in zip(doc, starts, strict=True):
        if token.idx != start:
            return f" from {token.text!r} on"
    return ""


def _add_entities(task: JsonValue, found: CharacterEntities, where: str) -> None:
    for here, span in get_items(task, "spans", "span", where, optional=True):
        offsets = _get_offsets(span, here)
        label = get_label(span, "label", here)
        # Relations name their arguments by the offsets, which stand for the first entity there.
        if offsets in found.index_of:
            found.add(None, *offsets, label, here)
        else:
            found.add(offsets, *offsets, label, here)


def _get_relations(task: JsonValue, found: CharacterEntities, where: str) -> list[RelationIndices]:
    index_of_last_token = {}
    for index, entity in enumerate(found.entities):
        if entity is not None:
            index_of_last_token[entity[1] - 1] = index
    relations = []
    for here, relation in get_items(task, "relations", "relation", where, optional=True):
        label = get_label(relation, "label", here)
        head, head_text = _get_argument(relation, "head", found, index_of_last_token, here)
        tail, tail_text = _get_argument(relation, "child", found, index_of_last_token, here)
        if head is None or tail is None:
            what = f"{label} ({head_text!r} -> {tail_text!r})"
            found.report.drop(Reason.NOT_AN_ENTITY, here, what)
        else:
            relations.append((head, tail, label))
    return relations


def _get_argument(
    relation: JsonValue,
    key: str,
    found: CharacterEntities,
    index_of_last_token: Mapping[int, int],
    where: str,
) -> tuple[int | None, str]:
    """Return the position and the text of the entity that is an argument of a relation.

    The position is None if the argument is no entity.
    """
    span = get_optional(relation, f"{key}_span")
    if span is None:
        token = get_field(relation, key, int, where)
        if not 0 <= token < len(found.doc):
            raise ValueError(
                f"{where}: {key} is token {token}, but the text has {len(found.doc)} tokens"
            )
        return index_of_last_token.get(token), found.doc[token].text
    here = f"{where}, {key}"
    start, end = _get_offsets(get_field(relation, f"{key}_span", dict, where), here)
    text = found.doc.text
    check_offsets(start, end, len(text), "characters", here)
    return found.index_of.get((start, end)), text[start:end]


def _get_offsets(span: JsonValue, where: str) -> tuple[int, int]:
    return get_field(span, "start", int, where), get_field(span, "end", int, where)


def _render_document(gold: GoldSpans) -> JsonObject:
    spans = gold.spans
    task: JsonObject = {
        "text": gold.doc.text,
        "tokens": list(map(_render_token, gold.doc)),
        "spans": [{"text": span.text, **_render_span(span)} for span in spans],
        "relations": [_render_relation(relation, spans) for relation in gold.relations],
        "answer": ACCEPT,
    }
    if ORIG_ID in gold.doc.user_data:
        task["meta"] = {"id": gold.doc.user_data[ORIG_ID]}
    return task


def _render_token(token: Token) -> JsonObject:
    return {
        "text": token.text,
        "start": token.idx,
        "end": token.idx + len(token),
        "id": token.i,
        "ws": bool(token.whitespace_),
    }


def _render_span(span: Span) -> JsonObject:
    return {
        "start": span.start_char,
        "end": span.end_char,
        "token_start": span.start,
        "token_end": span.end - 1,
        "label": span.label_,
    }


def _render_relation(relation: RelationIndices, spans: Sequence[Span]) -> JsonObject:
    head, child, label = relation
    return {
        "head": spans[head].end - 1,
        "child": spans[child].end - 1,
        "head_span": _render_span(spans[head]),
        "child_span": _render_span(spans[child]),
        "label": label,
    }
