"""The error browser: gold against predicted annotation, document by document, in one HTML page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from spacy.tokens import Doc
from spacy.training import Example

from ..corpora.gold import ORIG_ID
from ..evaluation.errors import (
    KINDS,
    ErrorCounts,
    ErrorFinding,
    Kind,
    Unit,
    count_errors,
    find_errors,
)
from ..evaluation.items import EntityItem, RelationItem
from ..relations import has_relations
from .page import make_page

# A label with its unit: an entity type and a relation type may have the same name.
Label: TypeAlias = tuple[Unit, str]

_PLURALS: dict[Unit, str] = {"entity": "Entities", "relation": "Relations"}

# The headings of the two annotations; the names of annotators stay as they are.
_HEADINGS = {"gold": "Gold", "predicted": "Predicted"}

_STYLE = """
:root {
  color-scheme: light dark;
  --bg: #fff; --card: #f6f7f9; --line: #d5d9e0; --fg: #1b1f24; --muted: #5b6470;
  --missed: #b3261e; --spurious: #8a4b00; --type: #6b3fa0; --direction: #0b6b74;
  --boundary: #1f5fbf; --correct: #2e6b34;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #14171b; --card: #1d2127; --line: #3a414b; --fg: #e6e8eb; --muted: #a2abb7;
    --missed: #ff9d94; --spurious: #f0b45c; --type: #cda6ff; --direction: #6fd3dd;
    --boundary: #8fbaff; --correct: #8ed096;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; background: var(--bg); color: var(--fg);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 .25rem; font-size: 1.3rem; }
h2 { margin: 0 0 .5rem; font-size: 1rem; color: var(--muted); }
p { margin: 0 0 .5rem; }
form { margin: 1rem 0; }
fieldset { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 .75rem;
  padding: .4rem .6rem .6rem; border: 1px solid var(--line); border-radius: .5rem; min-width: 0; }
fieldset label { display: inline-flex; align-items: center; gap: .4rem; min-height: 2.2rem;
  padding: 0 .6rem; border: 1px solid var(--line); border-radius: 2rem; cursor: pointer; }
select { max-width: 100%; min-height: 2.2rem; font: inherit; }
article { margin: 0 0 1rem; padding: .75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
.side { color: var(--muted); font-size: .8rem; }
.text { max-height: 60vh; overflow-y: auto; line-height: 2; white-space: pre-wrap; }
mark { padding: .1rem .2rem; background: none; color: inherit; border: 1px solid currentColor;
  border-radius: .3rem; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
mark small, .type { font-size: .7rem; font-weight: bold; }
mark small { margin-inline-start: .3rem; }
ul { margin: 0; padding: 0; list-style: none; }
li { padding: .4rem 0; border-top: 1px solid var(--line); }
li div { margin-inline-start: .6rem; }
.kind { font-weight: bold; }
.missed { color: var(--missed); } .spurious { color: var(--spurious); }
.type-error { color: var(--type); } .direction { color: var(--direction); }
.boundary { color: var(--boundary); } .correct { color: var(--correct); }
"""
# The CSS class of each kind.
_CLASSES: dict[Kind, str] = {
    "missed": "missed",
    "spurious": "spurious",
    "wrong type": "type-error",
    "wrong direction": "direction",
    "wrong boundary": "boundary",
    "correct": "correct",
}
_SCRIPT = """
const form = document.querySelector("form"), shown = document.querySelector("output");
const articles = [...document.querySelectorAll("article")]
  .map(node => [node, [...node.querySelectorAll("li")]]);
const boxes = [...form.querySelectorAll("input")];
function update() {
  const label = form.elements.label.value, counts = {};
  const chosen = new Set(boxes.filter(box => box.checked).map(box => box.value));
  let documents = 0, findings = 0;
  for (const [article, items] of articles) {
    let visible = 0;
    for (const item of items) {
      const kind = item.dataset.kind;
      const fits = !label || item.dataset.labels.split(" ").includes(label);
      if (fits) counts[kind] = (counts[kind] || 0) + 1;
      item.hidden = !(fits && chosen.has(kind));
      visible += !item.hidden;
    }
    article.hidden = !visible;
    documents += visible > 0;
    findings += visible;
  }
  for (const box of boxes) box.parentNode.querySelector("b").textContent = counts[box.value] || 0;
  shown.textContent = `Shown: ${findings} in ${documents} documents`;
}
form.addEventListener("change", update);
form.addEventListener("submit", event => event.preventDefault());
update();
"""


class Wording(NamedTuple):
    """The words of a page that compares two annotations.

    first (str): The name of the annotation that counts as the gold one.
    second (str): The name of the annotation that counts as the predicted one.
    kinds (Mapping[Kind, str]): The names of kinds; the others have their own names.
    """

    first: str = "gold"
    second: str = "predicted"
    kinds: Mapping[Kind, str] = MappingProxyType({})

    def name_kind(self, kind: Kind) -> str:
        """Return the name of a kind.

        kind (Kind): The kind.
        RETURNS (str): The name.
        """
        return self.kinds.get(kind, kind)


DEFAULT_WORDING = Wording()


class _Marked(NamedTuple):
    """An entity that is marked in the text.

    entity (EntityItem): The entity.
    kind (str): The kind of its finding.
    """

    entity: EntityItem
    kind: Kind


def make_error_page(
    examples: Iterable[Example], *, title: str, wording: Wording = DEFAULT_WORDING
) -> tuple[str, ErrorCounts]:
    """Make the error browser for predicted documents.

    examples (Iterable[Example]): Predicted and reference documents.
    title (str): Title of the page, such as the names of the pipeline and of the corpus.
    wording (Wording): The words of the page.
    RETURNS (tuple[str, ErrorCounts]): An HTML page that needs no other file, and the number of
        findings by unit and kind. A document without any finding is counted but not shown.
    """
    references, findings = [], []
    for example in examples:
        references.append(example.reference)
        findings.append(find_errors(example))
    return make_findings_page(references, findings, title=title, wording=wording)


def make_findings_page(
    docs: Sequence[Doc],
    findings: Sequence[Sequence[ErrorFinding]],
    *,
    title: str,
    wording: Wording = DEFAULT_WORDING,
) -> tuple[str, ErrorCounts]:
    """Make a page of findings about documents, as the error browser shows them.

    docs (Sequence[Doc]): The documents with the gold annotation.
    findings (Sequence[Sequence[ErrorFinding]]): The findings about each document.
    title (str): Title of the page.
    wording (Wording): The words of the page.
    RETURNS (tuple[str, ErrorCounts]): See `make_error_page`.
    """
    counts = count_errors(chain.from_iterable(findings))
    labels = _number_labels(findings)
    n_entities = sum(doc.has_annotation("ENT_IOB") for doc in docs)
    n_relations = sum(map(has_relations, docs))
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(docs)} documents; {n_entities} annotated with entities, "
        f"{n_relations} with relations.</p>",
        *_render_filters(counts, labels, wording),
    ]
    for number, (doc, found) in enumerate(zip(docs, findings, strict=True), start=1):
        if found:
            name = _name_document(doc, number)
            body.append("\n".join(_render_document(doc.text, name, found, labels, wording)))
    return make_page(title, body, style=_STYLE, script=_SCRIPT), counts


def _number_labels(findings: Iterable[Iterable[ErrorFinding]]) -> dict[Label, int]:
    """Number the labels. The page's script filters findings by these numbers."""
    labels: set[Label] = set()
    for found in findings:
        labels.update(*map(_list_labels, found))
    return {label: number for number, label in enumerate(sorted(labels))}


def _list_labels(finding: ErrorFinding) -> set[Label]:
    """List the labels of the gold item and of the predicted one."""
    items = (finding.gold, finding.predicted)
    return {(finding.unit, item.label) for item in items if item is not None}


def _name_document(doc: Doc, number: int) -> str:
    """Name a document by its number and, if its corpus has one, by its identifier."""
    identifier = doc.user_data.get(ORIG_ID)
    if identifier is None:
        return f"Document {number}"
    return f"Document {number} ({identifier})"


# HTML.


def _render_filters(
    counts: ErrorCounts, labels: Mapping[Label, int], wording: Wording
) -> Iterator[str]:
    """Render the form with a filter for each unit and kind, and one for labels."""
    yield '<form autocomplete="off">'
    for unit, plural in _PLURALS.items():
        yield f"<fieldset><legend>{plural}</legend>"
        for kind in KINDS:
            if unit == "relation" or kind != "wrong direction":
                yield _render_checkbox(unit, kind, counts[unit, kind], wording)
        yield "</fieldset>"
    yield '<p><label>Label <select name="label"><option value="">all</option>'
    for unit, plural in _PLURALS.items():
        yield f'<optgroup label="{plural}">'
        yield from _render_options(unit, labels)
        yield "</optgroup>"
    yield '</select></label></p><p><output aria-live="polite"></output></p></form>'


def _render_options(unit: Unit, labels: Mapping[Label, int]) -> Iterator[str]:
    """Render the labels of a unit as options of the filter."""
    for (unit_of_label, label), number in labels.items():
        if unit_of_label == unit:
            yield f'<option value="{number}">{escape(label)}</option>'


def _render_checkbox(unit: Unit, kind: Kind, count: int, wording: Wording) -> str:
    """Render the filter of a kind. Only correct items are hidden at first."""
    checked = " checked"
    if kind == "correct":
        checked = ""
    return (
        f'<label><input type="checkbox" value="{unit} {kind}"{checked}>'
        f'<span class="{_CLASSES[kind]}">{escape(wording.name_kind(kind))}</span> '
        f"<b>{count}</b></label>"
    )


def _render_document(
    text: str,
    name: str,
    findings: Sequence[ErrorFinding],
    labels: Mapping[Label, int],
    wording: Wording,
) -> Iterator[str]:
    """Render a document: its text with gold and with predicted entities, and its findings."""
    places = _list_places(text)
    yield f"<article><h2>{escape(name)}</h2>"
    for side, entities in _divide_entities(findings, wording).items():
        yield (
            f'<div class="side">{escape(side)}</div>'
            f'<div class="text" dir="auto">{_mark_entities(text, places, entities)}</div>'
        )
    yield "<ul>"
    for finding in findings:
        numbers = sorted(map(labels.__getitem__, _list_labels(finding)))
        yield (
            f'<li data-kind="{finding.unit} {finding.kind}" '
            f'data-labels="{" ".join(map(str, numbers))}">'
        )
        yield from _render_finding(text, places, finding, wording)
        yield "</li>"
    yield "</ul></article>"


def _divide_entities(
    findings: Iterable[ErrorFinding], wording: Wording
) -> dict[str, list[_Marked]]:
    """Divide the entities of a document into gold and predicted ones, if they differ."""
    gold, predicted = [], []
    differ = False
    for finding in findings:
        if isinstance(finding.gold, EntityItem):
            gold.append(_Marked(finding.gold, finding.kind))
        if isinstance(finding.predicted, EntityItem):
            predicted.append(_Marked(finding.predicted, finding.kind))
        differ |= finding.unit == "entity" and finding.kind != "correct"
    first = _HEADINGS.get(wording.first, wording.first)
    if differ:
        return {first: gold, _HEADINGS.get(wording.second, wording.second): predicted}
    return {f"{first} and {wording.second} entities": gold}


def _mark_entities(text: str, places: Sequence[int], entities: Iterable[_Marked]) -> str:
    """Render a text with its entities marked."""
    html, end = "", 0
    for entity, kind in sorted(entities):
        first, last = _find_bounds(places, entity)
        if first == last:
            continue
        # The label is isolated, not the text: dir="auto" takes the direction from outside <bdi>.
        html += (
            f'{escape(text[end:first])}<mark class="{_CLASSES[kind]}">{escape(text[first:last])}'
            f"<small><bdi>{escape(entity.label)}</bdi></small></mark>"
        )
        end = last
    return html + escape(text[end:])


def _render_finding(
    text: str, places: Sequence[int], finding: ErrorFinding, wording: Wording
) -> Iterator[str]:
    """Render the kind of a finding, then its gold item and its predicted one."""
    kind, gold, predicted = finding.kind, finding.gold, finding.predicted
    name = escape(wording.name_kind(kind))
    yield f'<span class="kind {_CLASSES[kind]}">{name}</span> {finding.unit}'
    first, side = escape(wording.first), escape(wording.second)
    if kind == "correct":
        side = f"{first} and {side}"
    elif gold is not None:
        item = _render_item(text, places, gold)
        score = ""
        if predicted is None:
            score = _render_score(finding)
        yield f'<div><span class="side">{first}</span> {item}{score}</div>'
    if predicted is not None:
        item = _render_item(text, places, predicted)
        score = _render_score(finding)
        yield f'<div><span class="side">{side}</span> {item}{score}</div>'


def _render_score(finding: ErrorFinding) -> str:
    if finding.score is None:
        return ""
    return f' <span class="side">{finding.score:.2f}</span>'


def _render_item(text: str, places: Sequence[int], item: EntityItem | RelationItem) -> str:
    """Render an entity with its type, or a relation with its arguments."""
    if isinstance(item, RelationItem):
        head = _render_item(text, places, item.head)
        tail = _render_item(text, places, item.tail)
        return f"{head} → <b><bdi>{escape(item.label)}</bdi></b> → {tail}"
    first, last = _find_bounds(places, item)
    return f'<bdi>{escape(text[first:last])}</bdi> <bdi class="type">{escape(item.label)}</bdi>'


# Boundaries of items count characters other than whitespace.


def _list_places(text: str) -> list[int]:
    """List the indices of the characters other than whitespace."""
    return [place for place, char in enumerate(text) if not char.isspace()]


def _find_bounds(places: Sequence[int], item: EntityItem) -> tuple[int, int]:
    """Find the first character and the end (exclusive) of an entity in the text.

    RETURNS (tuple[int, int]): The bounds; (0, 0) for an entity of whitespace.
    """
    if item.start >= item.end:
        return 0, 0
    return places[item.start], places[item.end - 1] + 1
