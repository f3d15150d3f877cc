"""The content of the page for a document, as plain data and markup."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple, TypedDict

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..bulk.json_rows import dump_json
from ..documents import span_to_doc
from ..evaluation.items import entity_items, relation_items
from ..relations import doc_to_annotation, get_entity_scores, get_relations, set_relations
from ..visual import render
from ..visual.arcs import draw_fluid_diagram
from ..visual.cells import find_component
from ..visual.options import PictureOptions, label_colours
from ..visual.passages import passages
from ..visual.templates import render as render_template

# Maximum length of a text in a list of texts, in characters.
_MAX_LINE = 80


class RelationRow(TypedDict):
    """A relation in the list of the page.

    head (str): Text of the head.
    label (str): Type of the relation.
    tail (str): Text of the tail.
    score (float): Probability of the relation.
    """

    head: str
    label: str
    tail: str
    score: float


class Part(NamedTuple):
    """A document, or a part of it that is shown alone.

    doc (Doc): The part as a document of its own, or the whole document.
    start (int): Index of its first word in the whole document.
    """

    doc: Doc
    start: int = 0


def cut_text(docs: Sequence[Doc]) -> list[tuple[int, int]]:
    """Cut a text into sentences. Sentences that a relation joins stay together.

    docs (Sequence[Doc]): The text as one or more pipelines annotated it. The text is cut where all
        of them have a boundary.
    RETURNS (list[tuple[int, int]]): The first character and the end (exclusive) of each part.
    """
    starts: list[set[int]] = []
    for doc in docs:
        starts.append({passage.start_char for passage in passages(doc)})
    return list(pairwise([*sorted(set.intersection(*starts)), len(docs[0].text)]))


def take_part(doc: Doc, start: int, end: int) -> Part:
    """Copy a part of a document to a document of its own.

    doc (Doc): The document; it stays as it is.
    start (int): The first character, see `cut_text`.
    end (int): The end of the characters (exclusive).
    RETURNS (Part): The part.
    """
    words = [token.i for token in doc if start <= token.idx < end]
    return Part(span_to_doc(doc[words[0] : words[-1] + 1]), words[0])


def shorten(text: str) -> str:
    """Shorten a text to one line.

    text (str): The text.
    RETURNS (str): Its beginning.
    """
    text = " ".join(text.split())
    if len(text) > _MAX_LINE:
        return f"{text[:_MAX_LINE]} …"
    return text


def describe_difference(first: Doc, second: Doc) -> str:
    """Describe the difference of two annotations of a text.

    first (Doc): The document as one pipeline annotated it.
    second (Doc): The document as the other one did.
    RETURNS (str): The numbers of entities and relations that are the same, and of the others.
    """
    parts = []
    for name, collect in (("entities", entity_items), ("relations", relation_items)):
        one, other = collect(first).keys(), collect(second).keys()
        parts.append(
            f"{len(one & other)} {name} are the same; {len(one - other)} only on the left and "
            f"{len(other - one)} only on the right."
        )
    return " ".join(parts)


def keep_relations(doc: Doc, min_score: float) -> Doc:
    """Leave out the relations below a score.

    doc (Doc): A document with relations; it stays as it is.
    min_score (float): Minimum score.
    RETURNS (Doc): A copy with the other relations.
    """
    doc = doc.copy()
    set_relations(doc, [relation for relation in get_relations(doc) if relation.score >= min_score])
    return doc


def list_relations(doc: Doc) -> list[RelationRow]:
    """List the relations of a document.

    doc (Doc): The document.
    RETURNS (list[RelationRow]): The relations, the most probable first.
    """
    rows = []
    for head, tail, label, score in get_relations(doc):
        rows.append(RelationRow(head=head.text, label=label, tail=tail.text, score=score))
    return sorted(rows, key=itemgetter("score"), reverse=True)


def draw_relations(doc: Doc, *, colours: Mapping[str, str]) -> str:
    """Render the relations of a document as an HTML table.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (str): HTML.
    """
    return render_template("relations.html", rows=list_relations(doc), colours=colours)


def choose_colours(doc: Doc, nlp: Language) -> dict[str, str]:
    """Choose a colour for each label, the same as in the picture of the label table.

    doc (Doc): The annotated document.
    nlp (Language): The pipeline that annotated it. Without a relation table, only the labels of the
        document have a colour.
    RETURNS (dict[str, str]): CSS colours by label.
    """
    labels: list[str] = []
    if has_table(nlp):
        labels.extend(find_component(nlp).labels)
    labels.extend(sorted({ent.label_ for ent in doc.ents}))
    labels.extend(sorted({relation.label for relation in get_relations(doc)}))
    return label_colours(list(dict.fromkeys(labels)))


def has_table(nlp: Language) -> bool:
    """Check whether a pipeline has a relation table to show the cells of.

    nlp (Language): The pipeline.
    RETURNS (bool): True if it has exactly one relation table.
    """
    try:
        find_component(nlp)
    except ValueError:
        return False
    return True


def draw_entities(doc: Doc, *, colours: Mapping[str, str]) -> str:
    """Highlight the entities of a document with their labels and scores.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (str): HTML.
    """
    scores = get_entity_scores(doc)
    segments = []
    end = 0
    for ent in doc.ents:
        score = scores.get((ent.start_char, ent.end_char, ent.label_))
        segments.append((doc.text[end : ent.start_char], ent, score))
        end = ent.end_char
    return render_template("entities.html", segments=segments, rest=doc.text[end:], colours=colours)


def draw_arcs(doc: Doc, *, colours: Mapping[str, str]) -> list[str]:
    """Draw the relations of a document as arcs.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (list[str]): HTML for each passage with relations: a sentence, or several sentences
        that a relation joins.
    """
    starts = {relation.head.start for relation in get_relations(doc)}
    pictures: list[str] = []
    for passage in passages(doc):
        if not starts.isdisjoint(range(passage.start, passage.end)):
            options: PictureOptions = {"colors": colours}
            pictures.append(draw_fluid_diagram(passage, labels=list(colours), options=options))
    return pictures


def draw_label_table(
    passage: Span, *, colours: Mapping[str, str], nlp: Language | None = None
) -> str:
    """Draw the label table of a passage.

    passage (Span): The words.
    colours (Mapping[str, str]): CSS colours by label.
    nlp (Language | None): The pipeline with the relation table that fills the cells. If None, the
        annotation fills them.
    RETURNS (str): An HTML table.
    """
    return str(render(passage, "table", nlp=nlp, jupyter=False, options={"colors": colours}))


def dump_annotation(doc: Doc) -> str:
    """Write a document as a line of JSON, in the format of `spacy tabcnn annotate`.

    doc (Doc): The document.
    RETURNS (str): The line.
    """
    return f"{dump_json({'text': doc.text, **doc_to_annotation(doc)})}\n"
