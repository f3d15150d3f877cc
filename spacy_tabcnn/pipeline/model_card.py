"""The model card of a trained pipeline: its purpose, parts, scores and limits."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, TypeAlias

import srsly
from spacy.language import Language
from wasabi import MarkdownRenderer

from ..about import __version__
from .base import RelationPipe

# The content of a meta.json.
Meta: TypeAlias = Mapping[str, Any]

# The fields of meta.json that only people can fill in. spaCy does not know the last two.
STATED = ("description", "author", "license", "sources", "intended_use", "limits")
_SCORES = {
    "ents": "Entities (NER)",
    "rels_boundaries": "Relations, boundaries (RE)",
    "rels_strict": "Relations, strict (RE+)",
}
_EXAMPLE = """import spacy

nlp = spacy.load("{name}")
doc = nlp("...")
for ent in doc.ents:
    print(ent.text, ent.label_, ent._.entity_score)
for relation in doc._.relations:
    print(relation.head.text, relation.label, relation.tail.text, relation.score)"""


def make_model_card(nlp: Language) -> str:
    """Make a model card in Markdown from a pipeline and its meta data.

    The card omits a field that the meta data does not have.

    nlp (Language): The pipeline. The card shows spaCy's own fields of `nlp.meta`, and
        `intended_use` and `limits`.
    RETURNS (str): The card.
    """
    meta = nlp.meta
    name = f"{meta['lang']}_{meta['name']}"
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, RelationPipe)]
    md = MarkdownRenderer()
    md.add(md.title(1, name))
    if meta.get("description"):
        md.add(meta["description"])
    md.add(_make_table(_list_features(nlp), ["Feature", "Description"]))
    _add_statements(md, meta)
    _add_labels(md, pipes)
    _add_scores(md, meta.get("performance", {}))
    for pipe in pipes:
        _add_settings(md, pipe)
    md.add(md.title(2, "Use"))
    md.add(md.code_block(_EXAMPLE.format(name=name), "python"))
    md.add("`config.cfg` has the whole configuration of the pipeline and of its training.")
    return f"{md.text}\n"


def find_missing(meta: Meta) -> list[str]:
    """Find the fields of `STATED` that are empty or missing.

    meta (Meta): The meta data of a pipeline.
    RETURNS (list[str]): The names of the fields.
    """
    return [key for key in STATED if not meta.get(key)]


def _add_statements(md: MarkdownRenderer, meta: Meta) -> None:
    for key, title in (("intended_use", "Intended use"), ("limits", "Limits")):
        if meta.get(key):
            md.add(md.title(2, title))
            md.add(meta[key])


def _add_labels(md: MarkdownRenderer, pipes: Sequence[RelationPipe]) -> None:
    if pipes:
        md.add(md.title(2, "Labels"))
    for pipe in pipes:
        scheme = pipe.label_scheme
        if scheme.entities:
            md.add(f"Entities: {_join_code(scheme.entities)}.")
        if scheme.relations:
            rows = starmap(_describe_relation, scheme.relations.items())
            md.add(_make_table(rows, ["Relation", "From → to"]))


def _describe_relation(label: str, pairs: Iterable[tuple[str, str]]) -> tuple[str, str]:
    arrows = [f"`{head}` → `{tail}`" for head, tail in pairs]
    return f"`{label}`", ", ".join(arrows) or "any"


def _add_scores(md: MarkdownRenderer, performance: Mapping[str, object]) -> None:
    rows = []
    for prefix, title in _SCORES.items():
        figures = [_format_score(performance.get(f"{prefix}_{key}")) for key in "prf"]
        if any(figures):
            rows.append((title, *figures))
    if rows:
        md.add(md.title(2, "Scores on the development corpus"))
        md.add(md.table(rows, ["", "P", "R", "F1"], aligns=["l", "r", "r", "r"]))
        md.add("In percent, micro averages, of the checkpoint that was best on this corpus.")


def _format_score(score: object) -> str:
    if not isinstance(score, int | float):
        return ""
    return f"{100 * score:.1f}"


def _add_settings(md: MarkdownRenderer, pipe: RelationPipe) -> None:
    rows = []
    for key, value in pipe.cfg.items():
        if key != "labels":
            rows.append((md.code(key), md.code(srsly.json_dumps(value))))
    md.add(md.title(2, f"Settings of `{pipe.name}`"))
    md.add(_make_table(rows, ["Setting", "Value"]))


def _list_features(nlp: Language) -> list[tuple[str, str]]:
    meta = nlp.meta
    features = {
        "Version": meta["version"],
        "Language": meta["lang"],
        "Made with": f"spaCy {meta['spacy_version']}, spacy-tabcnn {__version__}",
        "Pipeline": _join_code(nlp.pipe_names),
        "Encoder": _describe_encoder(nlp),
        "Trained on": ", ".join(map(_describe_source, meta.get("sources") or [])),
        "Author": _link(meta.get("author", ""), meta.get("url", "")),
        "Licence": meta.get("license", ""),
    }
    return [(name, value) for name, value in features.items() if value]


def _describe_encoder(nlp: Language) -> str:
    components = nlp.config.interpolate()["components"]
    names = []
    for pipe_name in nlp.pipe_names:
        model = components[pipe_name].get("model", {})
        if "name" in model:
            names.append(_shorten(Path(model["name"])))
    return _join_code(names)


def _shorten(path: Path) -> str:
    """Return the name of a folder, or the whole name of a repository of a model hub."""
    # The rest of the folder's path only makes sense on the machine that trained the pipeline.
    if path.is_absolute() or path.is_dir():
        return path.name
    return path.as_posix()


def _describe_source(source: str | Mapping[str, str]) -> str:
    if isinstance(source, str):
        return source
    name = _link(source.get("name", ""), source.get("url", ""))
    details = ", ".join(source[key] for key in ("author", "license") if source.get(key))
    if details:
        return f"{name} ({details})"
    return name


def _link(text: str, url: str) -> str:
    if text and url:
        return f"[{text}]({url})"
    return text


def _join_code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _make_table(rows: Iterable[tuple[str, ...]], header: Sequence[str]) -> str:
    escaped = [tuple(map(_escape, row)) for row in rows]
    return MarkdownRenderer().table(escaped, header)


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
