"""The content of the page for a document, as plain data and markup."""

from collections.abc import Mapping
from html import escape
from typing import TypedDict

from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc, Span

from ..bulk.json_rows import dump_json
from ..relations import doc_to_annotation, get_entity_scores, get_relations, set_relations
from ..visual import render
from ..visual.arcs import draw_fluid_diagram, list_labels
from ..visual.cells import find_component
from ..visual.options import label_colours
from ..visual.passages import passages

# Maximum length of a text. The page needs a few seconds and 1 GB of memory for it. Both grow with
# the length: 100,000 characters took a minute.
MAX_CHARACTERS = 20_000


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


def describe_excess(text: str) -> str:
    """Return the reason why a text is too long for the page.

    text (str): The text.
    RETURNS (str): The reason and the way out; empty if the text is not too long.
    """
    if len(text) <= MAX_CHARACTERS:
        return ""
    return (
        f"The text has {len(text):,} characters, and the page annotates at most "
        f"{MAX_CHARACTERS:,}. Shorten it, or annotate a file of any length with "
        "`spacy tabcnn annotate`."
    )


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
    return sorted(rows, key=_get_score, reverse=True)


def draw_relations(doc: Doc, *, colours: Mapping[str, str]) -> str:
    """Render the relations of a document as an HTML table.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (str): HTML.
    """
    rows = ""
    for row in list_relations(doc):
        style = f"background: {colours[row['label']]}"
        rows += (
            f"<tr><td>{escape(row['head'])}</td>"
            f'<td><span class="label" style="{style}">{escape(row["label"])}</span></td>'
            f"<td>{escape(row['tail'])}</td><td>{row['score']:.2f}</td></tr>"
        )
    header = "<th>Head</th><th>Relation</th><th>Tail</th><th>Score</th>"
    return f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"


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
    """Highlight the entities of a document with their labels and scores, through displaCy.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (str): HTML.
    """
    ents = []
    scores = get_entity_scores(doc)
    for ent in doc.ents:
        label = ent.label_
        score = scores.get((ent.start_char, ent.end_char, label))
        if score is not None:
            label = f"{label} {score:.2f}"
        ents.append(
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "label": escape(label),
                "params": {"bg": colours[ent.label_]},
            }
        )
    data = {
        "text": doc.text,
        "ents": ents,
        "title": None,
        "settings": displacy.get_doc_settings(doc),
    }
    return displacy.render(data, style="ent", manual=True, jupyter=False)


def draw_arcs(doc: Doc) -> list[str]:
    """Draw the relations of a document as arcs.

    doc (Doc): The document.
    RETURNS (list[str]): HTML for each passage with relations: a sentence, or several sentences
        that a relation joins.
    """
    starts = {relation.head.start for relation in get_relations(doc)}
    labels = list_labels([doc])
    pictures = []
    for passage in passages(doc):
        if not starts.isdisjoint(range(passage.start, passage.end)):
            pictures.append(str(draw_fluid_diagram(passage, labels=labels)))
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


def _get_score(row: RelationRow) -> float:
    return row["score"]
