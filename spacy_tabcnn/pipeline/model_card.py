"""The model card of a trained pipeline: what it does, what it was made of, how good it is, and what it is not for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from wasabi import MarkdownRenderer

from ..about import __version__
from .base import RelationPipe

# What only people can say: the fields of meta.json that hold it. spaCy does not know the last two.
STATED = ("description", "author", "license", "sources", "intended_use", "limits")
_SCORES = {
    "ents": "Entities (NER)",
    "rels_boundaries": "Relations, boundaries (RE)",
    "rels_strict": "Relations, strict (RE+)",
}


def make_model_card(nlp: Language) -> str:
    """Write a model card in Markdown, of what a pipeline and its meta data say; what they do not say is left out.

    nlp (Language): The pipeline. Of `nlp.meta` are read spaCy's own fields and `intended_use` and `limits`.
    RETURNS (str): The card.
    """
    meta = nlp.meta
    md = MarkdownRenderer()
    md.add(md.title(1, f"{meta['lang']}_{meta['name']}"))
    if meta.get("description"):
        md.add(meta["description"])
    md.add(_table(_features(nlp), ["Feature", "Description"]))
    for key, title in (("intended_use", "Intended use"), ("limits", "Limits")):
        if meta.get(key):
            md.add(md.title(2, title))
            md.add(meta[key])
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, RelationPipe)]
    if pipes:
        md.add(md.title(2, "Labels"))
    for pipe in pipes:
        scheme = pipe.label_scheme
        if scheme.entities:
            md.add(f"Entities: {', '.join(md.code(label) for label in scheme.entities)}.")
        rows = [
            (
                md.code(label),
                ", ".join(f"{md.code(head)} → {md.code(tail)}" for head, tail in pairs) or "any",
            )
            for label, pairs in scheme.relations.items()
        ]
        if rows:
            md.add(_table(rows, ["Relation", "From → to"]))
    scores = _scores(meta.get("performance", {}))
    if scores:
        md.add(md.title(2, "Scores on the development corpus"))
        md.add(md.table(scores, ["", "P", "R", "F1"], aligns=["l", "r", "r", "r"]))
        md.add("In percent, micro averages, of the checkpoint that was best on this corpus.")
    for pipe in pipes:
        rows = [
            (md.code(key), md.code(_plain(value)))
            for key, value in pipe.cfg.items()
            if key != "labels"
        ]
        md.add(md.title(2, f"Settings of `{pipe.name}`"))
        md.add(_table(rows, ["Setting", "Value"]))
    md.add(md.title(2, "Use"))
    md.add(md.code_block(_EXAMPLE.format(name=f"{meta['lang']}_{meta['name']}"), "python"))
    md.add("`config.cfg` has the whole configuration of the pipeline and of its training.")
    return str(md.text) + "\n"


def find_missing(meta: Mapping[str, Any]) -> list[str]:
    """RETURNS (list[str]): The fields of `STATED` that a meta data does not have."""
    return [key for key in STATED if not meta.get(key)]


_EXAMPLE = """import spacy

nlp = spacy.load("{name}")
doc = nlp("...")
for ent in doc.ents:
    print(ent.text, ent.label_, ent._.entity_score)
for relation in doc._.relations:
    print(relation.head.text, relation.label, relation.tail.text, relation.score)"""


def _features(nlp: Language) -> list[tuple[str, str]]:
    meta = nlp.meta
    author = meta.get("author", "")
    rows = [
        ("Version", meta["version"]),
        ("Language", meta["lang"]),
        ("Made with", f"spaCy {meta['spacy_version']}, spacy-tabcnn {__version__}"),
        ("Pipeline", ", ".join(f"`{name}`" for name in nlp.pipe_names)),
        ("Encoder", _encoder(nlp)),
        ("Trained on", ", ".join(_source(source) for source in meta.get("sources") or [])),
        ("Author", f"[{author}]({meta['url']})" if author and meta.get("url") else author),
        ("Licence", meta.get("license", "")),
    ]
    return [(name, value) for name, value in rows if value]


def _encoder(nlp: Language) -> str:
    components = nlp.config.interpolate()["components"]
    models = [components[name].get("model", {}) for name in nlp.pipe_names]
    names = [Path(model["name"]) for model in models if "name" in model]
    # A folder of the machine that trained says nothing elsewhere; the name of a model hub's repository stays whole.
    shown = [
        path.name if path.is_absolute() or path.is_dir() else path.as_posix() for path in names
    ]
    return ", ".join(f"`{name}`" for name in shown)


def _source(source: str | Mapping[str, str]) -> str:
    if isinstance(source, str):
        return source
    name = f"[{source['name']}]({source['url']})" if source.get("url") else source.get("name", "")
    details = ", ".join(source[key] for key in ("author", "license") if source.get(key))
    return f"{name} ({details})" if details else name


def _scores(performance: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for prefix, title in _SCORES.items():
        figures = [performance.get(f"{prefix}_{key}") for key in "prf"]
        if any(figure is not None for figure in figures):
            rows.append(
                (title, *("" if figure is None else f"{100 * figure:.1f}" for figure in figures))
            )
    return rows


def _plain(value: Any) -> str:
    return str(srsly.json_dumps(value))


def _table(rows: Sequence[tuple[str, ...]], header: Sequence[str]) -> str:
    escaped = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return str(MarkdownRenderer().table(escaped, header))
