"""The JSONL of Prodigy's recipes `rel.manual` and `ner.manual`.

Each line is one task:

    {text, tokens: [{text, start, end, id, ws}],
     spans: [{start, end, token_start, token_end, label}],
     relations: [{head, child, head_span, child_span, label}], answer}

Offsets count characters (code points, as in spaCy). `end` is exclusive, while `token_end` is
inclusive. `head` and `child` are the last tokens of the arguments. `head_span` and `child_span` are
their spans; they are absent or null in relations between tokens. See Prodigy's documentation:
"Annotation interfaces", `relations`.

`rel.manual` always writes the key `relations`, and `ner.manual` never does. So a task without this
key has no annotation of relations. A task without `tokens` gets the tokens of the pipeline.
A task without `spans` has no annotation of entities if its interface marks none, as
`classification`, or if it has no answer.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence

from spacy.language import Language
from spacy.tokens import Doc, Span, Token

from ..relations import has_relations
from .alignment import MAX_SHOWN
from .character_formats import (
    CharacterEntities,
    GoldSpans,
    Offsets,
    get_gold_spans,
    make_doc,
)
from .conversion import ConversionReport, Reason
from .fields import (
    check_tokens,
    find_text_field,
    get_field,
    get_items,
    get_label,
    get_optional,
    get_orig_id,
    has_any_field,
    has_field,
    shorten,
    show_number,
)
from .files import JsonObject, JsonValue, render_line
from .gold import RelationIndices, is_unannotated, lacks_entities
from .options import (
    ALL_ANNOTATORS,
    DEFAULT_OPTIONS,
    FIRST_ANNOTATOR,
    OTHER_ANNOTATORS,
    ReadingOptions,
)
from .records import Content, collect_record_docs, to_records

ACCEPT = "accept"
# Tasks with another answer are not read. The report counts them under these names.
NOT_ACCEPTED = {"reject": "rejected documents", "ignore": "ignored documents"}
# The fields with the name of the annotator, the more exact one first.
_ANNOTATORS = ("_annotator_id", "_session_id")
_INPUT = "_input_hash"
# Interfaces in which no spans are marked.
_WITHOUT_SPANS = {"choice", "classification", "compare", "diff", "html", "text", "text_input"}


def prodigy_to_docs(
    content: Content,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn Prodigy's JSONL into annotated documents with the tokens of the file.

    Rejected and ignored tasks are only counted. A task without an answer counts as accepted, as in
    `prodigy db-in`. Of the tasks that several annotators made of one input, the first one is read,
    unless an option chooses another.

    content (Content): Lines of JSON, a decoded array, or records.
    nlp (Language): Gives the vocabulary, and the tokenizer of tasks without tokens.
    source (str): The file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    annotator_of: dict[str, str] = {}

    def read_task(task: JsonValue, part: ConversionReport, where: str) -> list[Doc]:
        if not _is_accepted(task, part, where):
            return []
        if not _is_chosen(task, options.annotator, annotator_of, part):
            return []
        doc = _read_document(task, nlp, part, where, options)
        annotator_of.setdefault(str(get_optional(task, _INPUT)), get_annotator(task))
        return [doc]

    records = to_records(content, source, "task", has_lines=True)
    return collect_record_docs(records, read_task, report, skip_bad=options.skip_bad), report


def docs_to_prodigy(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into Prodigy's JSONL, with their tokens and the answer "accept".

    A document whose entities and relations were never set has no answer: it is to be annotated. The
    id of a document goes to `meta.id`, which Prodigy shows with the task. Scores are left out;
    `preannotation` writes tasks with scores.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and counts of the written and the
        left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    for gold in get_gold_spans(
        docs, report=report, source=source, may_lack=["entities", "relations"]
    ):
        lines.append(render_line(_render_document(gold)))
    return lines, report


def _is_accepted(task: JsonValue, report: ConversionReport, where: str) -> bool:
    """Check the answer of a task, and count a task that was not accepted."""
    answer = get_field(task, "answer", str, where, default=ACCEPT)
    if answer in NOT_ACCEPTED:
        report.ignored[NOT_ACCEPTED[answer]] += 1
        return False
    if answer != ACCEPT:
        others = " or ".join(NOT_ACCEPTED)
        raise ValueError(f"{where}: the answer is {shorten(answer)!r}; expected {ACCEPT}, {others}")
    return True


def _is_chosen(
    task: JsonValue,
    annotator: str,
    annotator_of: Mapping[str, str],
    report: ConversionReport,
) -> bool:
    """Check whether the option chooses a task among the tasks of its input, and count if not.

    `annotator_of` holds the annotator of each input that was read.
    """
    name = get_annotator(task)
    if annotator == ALL_ANNOTATORS:
        return True
    if annotator != FIRST_ANNOTATOR:
        # A session is named after its data set and its annotator: my_relations-ada.
        if annotator in (name, get_optional(task, "_session_id")) or name.endswith(f"-{annotator}"):
            return True
        report.ignored[OTHER_ANNOTATORS] += 1
        return False
    first = annotator_of.get(str(get_optional(task, _INPUT)), name)
    if first == name or not has_field(task, _INPUT):
        return True
    report.ignored["further annotations of a task"] += 1
    return False


def get_annotator(task: JsonValue) -> str:
    """Return the name of a task's annotator, or an empty one.

    task (JsonValue): The task.
    RETURNS (str): The name.
    """
    for key in _ANNOTATORS:
        name = get_optional(task, key)
        if name is not None:
            return str(name)
    return ""


def _read_document(
    task: JsonValue,
    nlp: Language,
    report: ConversionReport,
    where: str,
    options: ReadingOptions,
) -> Doc:
    text_field = find_text_field(task, where, text_field=options.text_field, others=("answer",))
    text = get_field(task, text_field, str, where)
    offsets = Offsets(text, utf16=options.utf16)
    if has_field(task, "tokens"):
        doc = _join_tokens(task, text, nlp, offsets, where)
    else:
        doc = make_doc(nlp, text, where)
    # A task without an answer is not annotated yet: its entities and relations are suggestions.
    is_predicted = not has_field(task, "answer")
    found = CharacterEntities(doc, report, options, keep_scores=is_predicted)
    _add_entities(task, found, offsets, where)
    relations = _get_relations(task, found, offsets, where)
    orig_id = get_orig_id(get_optional(task, "meta"), "id", where)
    has_entities = _annotates_entities(task)
    return found.set_gold(relations, orig_id=orig_id, where=where, has_entities=has_entities)


def _annotates_entities(task: JsonValue) -> bool:
    """Check whether a task says which entities there are, if only that there are none.

    Without spans, it does so if it is finished, and its interface has spans. An interface that is
    not named shows itself by its fields.
    """
    if has_any_field(task, ("spans", "relations")):
        return True
    if not has_field(task, "answer"):
        return False
    if has_field(task, "_view_id"):
        return get_optional(task, "_view_id") not in _WITHOUT_SPANS
    return not has_any_field(task, ("options", "label"))


def _join_tokens(task: JsonValue, text: str, nlp: Language, offsets: Offsets, where: str) -> Doc:
    words: list[JsonValue] = []
    starts: list[int] = []
    ends: list[int] = []
    for here, token in get_items(task, "tokens", "token", where):
        word = get_field(token, "text", str, here)
        start = offsets.find_start(get_field(token, "start", int, here), here)
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


def _add_entities(task: JsonValue, found: CharacterEntities, offsets: Offsets, where: str) -> None:
    for here, span in get_items(task, "spans", "span", where, optional=True):
        start, end = _get_offsets(span, offsets, here)
        label = get_label(span, "label", here)
        # Relations name their arguments by the offsets, which stand for the first entity there.
        if (start, end) in found.index_of:
            found.add(None, start, end, label, here)
        else:
            found.add((start, end), start, end, label, here)
        found.set_score(get_optional(span, "score"))


def _get_relations(
    task: JsonValue, found: CharacterEntities, offsets: Offsets, where: str
) -> list[RelationIndices] | None:
    """Return the relations of a task, or None if they were not annotated."""
    if not has_field(task, "relations"):
        return None
    find_argument = _ArgumentFinder(task, found, offsets)
    relations = []
    for here, relation in get_items(task, "relations", "relation", where):
        label = get_label(relation, "label", here)
        head, head_text = find_argument(relation, "head", here)
        tail, tail_text = find_argument(relation, "child", here)
        if head is None or tail is None:
            what = f"{label} ({head_text!r} -> {tail_text!r})"
            found.report.drop(Reason.NOT_AN_ENTITY, here, what)
        else:
            relations.append((head, tail, label))
            found.set_relation_score((head, tail, label), get_optional(relation, "score"))
    return relations


class _ArgumentFinder:
    """Finds the entities that the relations of a task name by their spans or last tokens."""

    def __init__(self, task: JsonValue, found: CharacterEntities, offsets: Offsets) -> None:
        self.found = found
        self.offsets = offsets
        self.has_tokens = has_field(task, "tokens")
        self.index_of_last_token: dict[int, int] = {}
        for index, entity in enumerate(found.entities):
            if entity is not None:
                self.index_of_last_token[entity[1] - 1] = index

    def __call__(self, relation: JsonValue, key: str, where: str) -> tuple[int | None, str]:
        """Return the position and the text of the entity that is an argument of a relation.

        The position is None if the argument is no entity.
        """
        if not has_field(relation, f"{key}_span"):
            return self._find_token(get_field(relation, key, int, where), key, where)
        here = f"{where}, {key}"
        span = get_field(relation, f"{key}_span", dict, where)
        start, end = _get_offsets(span, self.offsets, here)
        text = shorten(self.found.text[start : min(end, start + MAX_SHOWN + 1)], MAX_SHOWN)
        return self.found.index_of.get((start, end)), text

    def _find_token(self, token: int, key: str, where: str) -> tuple[int | None, str]:
        doc = self.found.doc
        if not self.has_tokens:
            raise ValueError(
                f"{where}: {key} is token {show_number(token)}, but the task has no tokens. Export "
                f"the tokens, or give the relation the field '{key}_span'"
            )
        if not 0 <= token < len(doc):
            raise ValueError(
                f"{where}: {key} is token {show_number(token)}, but the text has {len(doc)} tokens"
            )
        return self.index_of_last_token.get(token), doc[token].text


def _get_offsets(span: JsonValue, offsets: Offsets, where: str) -> tuple[int, int]:
    start, end = get_field(span, "start", int, where), get_field(span, "end", int, where)
    return offsets.find(start, end, where)


def render_token(token: Token) -> JsonObject:
    """Return a token as an item of `tokens`.

    token (Token): The token.
    RETURNS (JsonObject): Its text, offsets, position, and whether a space follows.
    """
    return {
        "text": token.text,
        "start": token.idx,
        "end": token.idx + len(token),
        "id": token.i,
        "ws": bool(token.whitespace_),
    }


def render_span(span: Span) -> JsonObject:
    """Return an entity as a span.

    span (Span): The entity.
    RETURNS (JsonObject): Its characters, its tokens (the last one included) and its label.
    """
    return {
        "start": span.start_char,
        "end": span.end_char,
        "token_start": span.start,
        "token_end": span.end - 1,
        "label": span.label_,
    }


def render_arc(head: JsonObject, child: JsonObject, label: str) -> JsonObject:
    """Return a relation as an item of `relations`.

    head (JsonObject): The span of its head, as from `render_span`.
    child (JsonObject): The span of its tail.
    label (str): Its label.
    RETURNS (JsonObject): The relation.
    """
    return {
        "head": head["token_end"],
        "child": child["token_end"],
        "head_span": head,
        "child_span": child,
        "label": label,
    }


def _render_document(gold: GoldSpans) -> JsonObject:
    spans = list(map(render_span, gold.spans))
    shown: list[JsonObject] = []
    for span, rendered in zip(gold.spans, spans, strict=True):
        shown.append({"text": span.text, **rendered})
    relations: list[JsonObject] = []
    for head, child, label in gold.relations:
        relations.append(render_arc(spans[head], spans[child], label))
    task: JsonObject = {
        "text": gold.doc.text,
        "tokens": list(map(render_token, gold.doc)),
    }
    if not lacks_entities(gold.doc):
        task["spans"] = shown
    if has_relations(gold.doc):
        task["relations"] = relations
    if not is_unannotated(gold.doc):
        task["answer"] = ACCEPT
    if gold.orig_id is not None:
        task["meta"] = {"id": gold.orig_id}
    return task
