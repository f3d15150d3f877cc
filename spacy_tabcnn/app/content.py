"""What the page shows of a document, as plain data and markup."""

from collections.abc import Mapping
from html import escape
from typing import Any

from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc, Span

from ..bulk.rows import dump_json
from ..relations import doc_to_annotation, get_entity_score, get_relations, set_relations
from ..visual import render
from ..visual.label_table import find_component, label_colours
from ..visual.passages import passages

# Pictures in the colours and the font of the page around them, light or dark.
_OPTIONS = {"color": "inherit", "bg": "transparent", "font": "inherit"}
# Low arcs: many fit on a screen.
_ARCS = {**_OPTIONS, "compact": True, "word_spacing": 32}


def keep_relations(doc: Doc, min_score: float) -> Doc:
    """Leave out the relations below a score.

    doc (Doc): A document with relations; it stays as it is.
    min_score (float): The least score.
    RETURNS (Doc): A copy with the others.
    """
    doc = doc.copy()
    set_relations(doc, [relation for relation in get_relations(doc) if relation.score >= min_score])
    return doc


def list_relations(doc: Doc) -> list[dict[str, Any]]:
    """List the relations of a document.

    doc (Doc): The document.
    RETURNS (list[dict[str, Any]]): "head", "label", "tail" and "score" of each, the most probable first.
    """
    rows = [
        {"head": head.text, "label": label, "tail": tail.text, "score": score}
        for head, tail, label, score in get_relations(doc)
    ]
    return sorted(rows, key=lambda row: -row["score"])


def draw_relations(doc: Doc, *, colours: Mapping[str, str]) -> str:
    """Write the relations of a document as a table.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (str): HTML.
    """
    rows = "".join(
        f"<tr><td>{escape(row['head'])}</td>"
        f'<td><span class="label" style="background: {colours[row["label"]]}">{escape(row["label"])}</span></td>'
        f"<td>{escape(row['tail'])}</td><td>{row['score']:.2f}</td></tr>"
        for row in list_relations(doc)
    )
    header = "".join(f"<th>{name}</th>" for name in ("Head", "Relation", "Tail", "Score"))
    return f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"


def choose_colours(doc: Doc, nlp: Language) -> dict[str, str]:
    """Choose a colour for each label, that of the label table's picture.

    doc (Doc): The annotated document.
    nlp (Language): The pipeline that annotated it. Without a relation table, the labels are those of the document.
    RETURNS (dict[str, str]): CSS colours by label.
    """
    known = find_component(nlp).labels if has_table(nlp) else ()
    entities = sorted({ent.label_ for ent in doc.ents})
    relations = sorted({relation.label for relation in get_relations(doc)})
    return label_colours(list(dict.fromkeys([*known, *entities, *relations])))


def has_table(nlp: Language) -> bool:
    """RETURNS (bool): Whether there is one relation table in a pipeline, whose cells can be shown."""
    try:
        find_component(nlp)
    except ValueError:
        return False
    return True


def draw_entities(doc: Doc, *, colours: Mapping[str, str]) -> str:
    """Highlight the entities of a document, through displaCy, with their labels and scores.

    doc (Doc): The document.
    colours (Mapping[str, str]): CSS colours by label.
    RETURNS (str): HTML.
    """
    ents = []
    for ent in doc.ents:
        score = get_entity_score(ent)
        label = ent.label_ if score is None else f"{ent.label_} {score:.2f}"
        params = {"bg": colours[ent.label_]}
        ents.append(
            {"start": ent.start_char, "end": ent.end_char, "label": escape(label), "params": params}
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
    RETURNS (list[str]): A picture, SVG, for each sentence with relations, or for several that a relation joins.
    """
    places = [(relation.head.start, relation.tail.start) for relation in get_relations(doc)]
    pictures = []
    for passage in passages(doc):
        if any(passage.start <= start < passage.end for start, _ in places):
            pictures.append(str(render(passage, jupyter=False, options=_ARCS)))
    return pictures


def draw_label_table(
    passage: Span, *, colours: Mapping[str, str], nlp: Language | None = None
) -> str:
    """Draw the label table of a passage.

    passage (Span): The words.
    colours (Mapping[str, str]): CSS colours by label.
    nlp (Language | None): The pipeline whose relation table fills the cells; if None, the annotation does.
    RETURNS (str): A picture, SVG.
    """
    return str(
        render(passage, "table", nlp=nlp, jupyter=False, options={**_OPTIONS, "colors": colours})
    )


def dump_annotation(doc: Doc) -> str:
    """Write a document as a line of JSON, as `spacy tabcnn annotate` does with a text.

    doc (Doc): The document.
    RETURNS (str): The line.
    """
    return f"{dump_json({'text': doc.text, **doc_to_annotation(doc)})}\n"
