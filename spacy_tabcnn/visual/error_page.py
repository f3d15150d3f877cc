"""The error browser: gold against predicted annotation, document by document, in one HTML page."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape

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

_PLURALS: dict[Unit, str] = {"entity": "Entities", "relation": "Relations"}

_STYLE = """
:root {
  color-scheme: light dark;
  --bg: #fff; --card: #f6f7f9; --line: #d5d9e0; --fg: #1b1f24; --muted: #5b6470;
  --missed: #b3261e; --spurious: #8a4b00; --type: #6b3fa0; --direction: #0b6b74; --boundary: #1f5fbf;
  --correct: #2e6b34;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #14171b; --card: #1d2127; --line: #3a414b; --fg: #e6e8eb; --muted: #a2abb7;
    --missed: #ff9d94; --spurious: #f0b45c; --type: #cda6ff; --direction: #6fd3dd; --boundary: #8fbaff;
    --correct: #8ed096;
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
fieldset { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 .75rem; padding: .4rem .6rem .6rem;
  border: 1px solid var(--line); border-radius: .5rem; min-width: 0; }
fieldset label { display: inline-flex; align-items: center; gap: .4rem; min-height: 2.2rem; padding: 0 .6rem;
  border: 1px solid var(--line); border-radius: 2rem; cursor: pointer; }
select { max-width: 100%; min-height: 2.2rem; font: inherit; }
article { margin: 0 0 1rem; padding: .75rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
.side { color: var(--muted); font-size: .8rem; }
.text { max-height: 60vh; overflow-y: auto; line-height: 2; white-space: pre-wrap; }
mark { padding: .1rem .2rem; background: none; color: inherit; border: 1px solid currentColor; border-radius: .3rem;
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
mark small, .type { font-size: .7rem; font-weight: bold; }
mark small { margin-inline-start: .3rem; }
ul { margin: 0; padding: 0; list-style: none; }
li { padding: .4rem 0; border-top: 1px solid var(--line); }
li div { margin-inline-start: .6rem; }
.kind { font-weight: bold; }
.missed { color: var(--missed); } .spurious { color: var(--spurious); } .type-error { color: var(--type); }
.direction { color: var(--direction); } .boundary { color: var(--boundary); } .correct { color: var(--correct); }
"""
_COLOURS: dict[Kind, str] = {
    "missed": "missed",
    "spurious": "spurious",
    "wrong type": "type-error",
    "wrong direction": "direction",
    "wrong boundary": "boundary",
    "correct": "correct",
}
_SCRIPT = """
const form = document.querySelector("form"), shown = document.querySelector("output");
const articles = [...document.querySelectorAll("article")].map(node => [node, [...node.querySelectorAll("li")]]);
const boxes = [...form.querySelectorAll("input")];
function update() {
  const label = form.elements.label.value, counts = {};
  const chosen = new Set(boxes.filter(box => box.checked).map(box => box.value));
  let documents = 0, findings = 0;
  for (const [article, items] of articles) {
    let visible = 0;
    for (const item of items) {
      const kind = item.dataset.kind, fits = !label || item.dataset.labels.split(" ").includes(label);
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


def make_error_page(examples: Iterable[Example], *, title: str) -> tuple[str, ErrorCounts]:
    """Make the error browser for predicted documents.

    examples (Iterable[Example]): Predicted and reference documents.
    title (str): What was predicted by what.
    RETURNS (tuple[str, ErrorCounts]): An HTML page that needs no other file, and the number of findings by unit and kind.
        A document without any finding is counted but not shown.
    """
    compared = [(example, find_errors(example)) for example in examples]
    counts = count_errors(finding for _, findings in compared for finding in findings)
    labels = {
        key: index
        for index, key in enumerate(
            sorted({key for _, found in compared for f in found for key in _keys(f)})
        )
    }
    n_entities = sum(example.reference.has_annotation("ENT_IOB") for example, _ in compared)
    n_relations = sum(has_relations(example.reference) for example, _ in compared)
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(compared)} documents; {n_entities} annotated with entities, {n_relations} with relations.</p>",
        *_filters(counts, labels),
    ]
    for number, (example, findings) in enumerate(compared, start=1):
        if findings:
            body.append("\n".join(_article(number, example, findings, labels)))
    return make_page(title, body, style=_STYLE, script=_SCRIPT), counts


def _keys(finding: ErrorFinding) -> set[tuple[Unit, str]]:
    """The labels under which a finding is to be found."""
    return {
        (finding.unit, item.label) for item in (finding.gold, finding.predicted) if item is not None
    }


def _filters(counts: ErrorCounts, labels: Mapping[tuple[Unit, str], int]) -> Iterator[str]:
    yield '<form autocomplete="off">'
    for unit, plural in _PLURALS.items():
        yield f"<fieldset><legend>{plural}</legend>"
        for kind in KINDS:
            if (unit, kind) == ("entity", "wrong direction"):
                continue
            checked = "" if kind == "correct" else " checked"
            yield (
                f'<label><input type="checkbox" value="{unit} {kind}"{checked}>'
                f'<span class="{_COLOURS[kind]}">{kind}</span> <b>{counts[unit, kind]}</b></label>'
            )
        yield "</fieldset>"
    yield '<p><label>Label <select name="label"><option value="">all</option>'
    for unit, plural in _PLURALS.items():
        yield f'<optgroup label="{plural}">'
        yield from (
            f'<option value="{i}">{escape(label)}</option>'
            for (of, label), i in labels.items()
            if of == unit
        )
        yield "</optgroup>"
    yield '</select></label></p><p><output aria-live="polite"></output></p></form>'


def _article(
    number: int,
    example: Example,
    findings: list[ErrorFinding],
    labels: Mapping[tuple[Unit, str], int],
) -> Iterator[str]:
    text = example.reference.text
    # Where each character other than whitespace is.
    places = [place for place, char in enumerate(text) if not char.isspace()]
    identity = example.reference.user_data.get(ORIG_ID)
    name = "" if identity is None else f" ({escape(str(identity))})"
    yield f"<article><h2>Document {number}{name}</h2>"
    entities = [finding for finding in findings if finding.unit == "entity"]
    golds = [
        (finding.gold, finding.kind) for finding in entities if isinstance(finding.gold, EntityItem)
    ]
    predictions = [(f.predicted, f.kind) for f in entities if isinstance(f.predicted, EntityItem)]
    sides = {"Gold": golds, "Predicted": predictions}
    if all(finding.kind == "correct" for finding in entities):
        sides = {"Gold and predicted entities": golds}
    for side, items in sides.items():
        yield f'<div class="side">{side}</div><div class="text" dir="auto">{_marked(text, places, items)}</div>'
    yield "<ul>"
    for finding in findings:
        keys = " ".join(str(labels[key]) for key in sorted(_keys(finding)))
        yield f'<li data-kind="{finding.unit} {finding.kind}" data-labels="{keys}">'
        yield f'<span class="kind {_COLOURS[finding.kind]}">{finding.kind}</span> {finding.unit}'
        if finding.gold is not None and finding.kind != "correct":
            yield f'<div><span class="side">gold</span> {_described(text, places, finding.gold)}</div>'
        if finding.predicted is not None:
            side = "gold and predicted" if finding.kind == "correct" else "predicted"
            score = (
                "" if finding.score is None else f' <span class="side">{finding.score:.2f}</span>'
            )
            yield f'<div><span class="side">{side}</span> {_described(text, places, finding.predicted)}{score}</div>'
        yield "</li>"
    yield "</ul></article>"


def _marked(text: str, places: list[int], items: Iterable[tuple[EntityItem, Kind]]) -> str:
    """A text with its entities, in text order, marked."""
    marked, end = "", 0
    for item, kind in sorted(items):
        first, last = _bounds(places, item)
        if first == last:
            continue
        # The label is isolated, not the text: dir="auto" looks for the direction outside <bdi>.
        marked += (
            f'{escape(text[end:first])}<mark class="{_COLOURS[kind]}">{escape(text[first:last])}'
            f"<small><bdi>{escape(item.label)}</bdi></small></mark>"
        )
        end = last
    return marked + escape(text[end:])


def _described(text: str, places: list[int], item: EntityItem | RelationItem) -> str:
    if isinstance(item, RelationItem):
        head, tail = (_described(text, places, argument) for argument in (item.head, item.tail))
        return f"{head} → <b><bdi>{escape(item.label)}</bdi></b> → {tail}"
    first, last = _bounds(places, item)
    return f'<bdi>{escape(text[first:last])}</bdi> <bdi class="type">{escape(item.label)}</bdi>'


def _bounds(places: list[int], item: EntityItem) -> tuple[int, int]:
    """First character and end (exclusive) of an entity in the text; the same for one of whitespace."""
    return (places[item.start], places[item.end - 1] + 1) if item.end > item.start else (0, 0)
