"""Loading of pipelines that predict relations, and the refusal of other pipelines."""

from collections.abc import Sequence
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.util import get_package_path, is_package, load_config

from .base import ASSIGNS, RelationPipe

_CONFIG = "config.cfg"
# Attributes by which components set sentence boundaries.
_SENTENCE_STARTS = {"token.is_sent_start", "doc.sents"}


def load_pipeline(model: str | Path) -> Language:
    """Load a pipeline that predicts relations.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (Language): The pipeline.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If it has no component of this package, or the component is disabled.
    """
    nlp = spacy.load(model)
    if not any(isinstance(component, RelationPipe) for _, component in nlp.pipeline):
        raise ValueError(_describe_lack(model, nlp.component_names, nlp.disabled))
    return nlp


def split_sentences(nlp: Language) -> None:
    """Make a pipeline split running text if it was trained on single sentences.

    A pipeline without a component that sets sentence boundaries gets spaCy's `sentencizer`, in
    place, as its first component. A pipeline that was trained on texts of several sentences without
    boundaries stays as it is.

    nlp (Language): A pipeline from `load_pipeline`.
    """
    for name, component in nlp.pipeline:
        if _SENTENCE_STARTS & set(nlp.get_pipe_meta(name).assigns):
            return
        if isinstance(component, RelationPipe) and component.trained_on.mix_sentences:
            return
    nlp.add_pipe("sentencizer", first=True)


def check_pipeline(model: str | Path) -> None:
    """Check in its config whether a pipeline predicts relations, without loading it.

    model (str | Path): Name or folder of the pipeline.
    RAISES (ValueError): If there is no such pipeline, or it has no component of this package.
    """
    config = load_config(_find_config(model))
    names, disabled = config["nlp"]["pipeline"], config["nlp"].get("disabled", [])
    nlp = spacy.blank(config["nlp"]["lang"])  # knows the factories of installed packages
    for name in names:
        factory = config["components"][name].get("factory", "")
        if name not in disabled and _predicts_relations(nlp, factory):
            return
    raise ValueError(_describe_lack(model, names, disabled))


def _find_config(model: str | Path) -> Path:
    folder = Path(model)
    if is_package(str(model)):
        folder = get_package_path(str(model))
    # An installed package holds the pipeline in a folder with its version.
    for path in (folder / _CONFIG, *sorted(folder.glob(f"*/{_CONFIG}"))):
        if path.is_file():
            return path
    raise ValueError(
        f"{model}: neither an installed pipeline nor a folder of one. Check its name or path, or "
        "train it first (`spacy project run all` makes training/sample/model-best)"
    )


def _predicts_relations(nlp: Language, factory: str) -> bool:
    if not nlp.has_factory(factory):
        return False
    return set(ASSIGNS) <= set(nlp.get_factory_meta(factory).assigns)


def _describe_lack(model: str | Path, names: Sequence[str], disabled: Sequence[str]) -> str:
    components = ", ".join(names) or "none"
    if disabled:
        components += f"; disabled: {', '.join(disabled)}"
    return (
        f"{model}: this pipeline predicts no relations, since it has no component `tabcnn` or "
        f"`spert` that is enabled (its components: {components}). Name a pipeline that was trained "
        "with one of them"
    )
