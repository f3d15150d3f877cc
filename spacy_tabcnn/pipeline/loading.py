"""Loading of pipelines that predict relations, and the refusal of other pipelines."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import spacy
import torch
from spacy.language import Language
from spacy.util import (
    get_model_meta,
    get_package_path,
    is_package,
    load_config,
    load_model_from_config,
)
from thinc.api import Model
from torch import nn

from ..runtime.plain_data import ADVICE, ENCODER_FILE, describe
from .base import ASSIGNS, RelationPipe
from .model_folder import CONFIG, check_config, check_folder, read_config
from .saved import read_part, read_settings

ResultT = TypeVar("ResultT")
# Attributes by which components set sentence boundaries.
_SENTENCE_STARTS = {"token.is_sent_start", "doc.sents"}


def load_pipeline(model: str | Path) -> Language:
    """Load a pipeline that predicts relations; see `load_checked`.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (Language): The pipeline.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If it has no component of this package, or the component is disabled, or
        its folder is refused. The message names the file.
    """
    nlp = load_checked(model)
    if not any(isinstance(component, RelationPipe) for _, component in nlp.pipeline):
        raise ValueError(_describe_lack(model, nlp.component_names, nlp.disabled))
    return nlp


def load_checked(model: str | Path) -> Language:
    """Load a pipeline. A folder is not trusted.

    Nothing in the folder is run or used as a path, and files that are damaged or do not fit
    together are refused. `spacy.load` checks less; see `model_folder`. An installed package is code
    that the user trusts.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (Language): The pipeline.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If its folder is refused. The message names the file.
    """
    folder = Path(model)
    if is_package(str(model)) or not folder.exists():
        return spacy.load(model)
    return _load_folder(folder)


def _load_folder(folder: Path) -> Language:
    """Load a pipeline from a folder that is not trusted."""
    check_folder(folder)
    with warnings.catch_warnings():
        # spacy-transformers goes on with random weights.
        warnings.filterwarnings("error", message="Error loading saved torch state_dict")
        nlp = _name_file(folder / CONFIG, lambda: _make_pipeline(folder))
        names = nlp.component_names
        if (folder / "vocab").exists():
            _name_file(folder / "vocab", lambda: nlp.vocab.from_disk(folder / "vocab"))
        _read_part(nlp.tokenizer, folder / "tokenizer")
        others = [*names, "vocab", "tokenizer"]
        _name_file(folder, lambda: nlp.from_disk(folder, exclude=others))
        for name, component in nlp.components:
            _check_settings(component, folder / name / "cfg")
            _read_part(component, folder / name)
        nlp._link_components()
    for name, component in nlp.components:
        _name_file(folder / name, partial(_check_finite, component))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _name_file(folder, lambda: _try(nlp))
    return nlp


def _make_pipeline(folder: Path) -> Language:
    return load_model_from_config(load_config(folder / CONFIG), meta=get_model_meta(folder))


def _check_settings(component: object, path: Path) -> None:
    """Check that the saved settings of a component have the types of its settings in config.cfg.

    RAISES (ValueError): If they have not.
    """
    known = getattr(component, "cfg", None)
    if not isinstance(known, dict) or not path.is_file():
        return

    def check(content: bytes) -> None:
        for name, value in read_settings(content).items():
            default = known.get(name)
            if isinstance(default, int | float) and not isinstance(value, int | float):
                raise ValueError(f"the setting {name!r} is {value!r:.100}; expected a number")
            if isinstance(default, str) and not isinstance(value, str):
                raise ValueError(f"the setting {name!r} is {value!r:.100}; expected text")

    read_part(path, check)


def _read_part(part: object, path: Path) -> None:
    """Load the tokenizer or a component, if it has files."""
    from_disk = getattr(part, "from_disk", None)
    if callable(from_disk):
        _name_file(path, partial(from_disk, path, exclude=["vocab"]))


def _name_file(path: Path, load: Callable[[], ResultT]) -> ResultT:
    """Load a file or folder; errors name it.

    RAISES (ValueError): If it cannot be loaded.
    """
    try:
        return load()
    except ImportError:
        raise
    except Exception as err:  # spaCy's loaders raise errors of many kinds for damaged files
        reason = str(err).replace(ENCODER_FILE, str(path / "model"))
        if not reason.startswith(str(path)):
            reason = f"{path}: cannot be loaded ({describe(err)}). {ADVICE}"
        raise ValueError(reason) from err


def _check_finite(component: object) -> None:
    """Check that the weights of a component's modules are finite."""
    model = getattr(component, "model", None)
    if not isinstance(model, Model):
        return
    for node in model.walk():
        for shim in node.shims:
            module = shim._model
            if not isinstance(module, nn.Module):
                continue
            for name, parameter in module.named_parameters():
                if not torch.isfinite(parameter).all():
                    raise ValueError(
                        f"the weight {name!r} holds numbers that are not finite (NaN or inf)"
                    )


def _try(nlp: Language) -> None:
    """Annotate a short text, so that files that do not fit together are refused before use.

    RAISES (ValueError): If a component fails, or its scores are not finite.
    """
    doc = nlp.make_doc("A text.")
    for name, component in nlp.pipeline:
        try:
            if isinstance(component, RelationPipe):
                component.try_out(doc)
            else:
                doc = component(doc)
        except (ImportError, OSError):
            raise
        except Exception as err:  # of any kind, since files that do not fit cause them
            raise ValueError(
                f"component {name!r} fails on a first text ({describe(err)}): its files, or the "
                "files of the components before it, do not fit together"
            ) from err


def lacks_sentences(nlp: Language) -> bool:
    """Check whether a pipeline was trained on single sentences, and does not split running text.

    nlp (Language): The pipeline.
    RETURNS (bool): True if it predicts relations and no component sets sentence boundaries, unless
        it was trained on texts of several sentences without boundaries.
    """
    predicts_relations = False
    for name, component in nlp.pipeline:
        if _SENTENCE_STARTS & set(nlp.get_pipe_meta(name).assigns):
            return False
        if isinstance(component, RelationPipe):
            predicts_relations = True
            if component.trained_on.mix_sentences:
                return False
    return predicts_relations


def split_sentences(nlp: Language) -> None:
    """Make a pipeline split running text if it was trained on single sentences.

    A pipeline without a component that sets sentence boundaries gets spaCy's `sentencizer`, in
    place, as its first component. A pipeline that was trained on texts of several sentences without
    boundaries stays as it is.

    nlp (Language): The pipeline. It stays as it is if it predicts no relations.
    """
    if lacks_sentences(nlp):
        nlp.add_pipe("sentencizer", first=True)


def check_pipeline(model: str | Path) -> None:
    """Check in its config that a pipeline predicts relations, without loading it.

    model (str | Path): Name or folder of the pipeline.
    RAISES (ValueError): If there is no such pipeline, or it has no component of this package.
    """
    check_pipelines([model])


def check_pipelines(models: Sequence[str | Path]) -> None:
    """Check in their configs that at least one of several pipelines predicts relations.

    models (Sequence[str | Path]): Names or folders of the pipelines.
    RAISES (ValueError): If a pipeline does not exist, or none has a component of this package.
    """
    problems = list(map(_find_lack, models))
    if None not in problems:
        raise ValueError(problems[0])


def _find_lack(model: str | Path) -> str | None:
    """Describe a pipeline that predicts no relations; return None if it predicts some."""
    path = find_config(model)
    config = read_config(path)
    if not is_package(str(model)):
        read_part(path, lambda _: check_config(config))
    names, disabled = config["nlp"]["pipeline"], config["nlp"].get("disabled", [])
    nlp = spacy.blank(config["nlp"]["lang"])  # knows the factories of installed packages
    for name in names:
        factory = config["components"][name].get("factory", "")
        if name not in disabled and _predicts_relations(nlp, factory):
            return None
    return _describe_lack(model, names, disabled)


def find_config(model: str | Path) -> Path:
    """Find the config of a pipeline. Its meta.json is next to it.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (Path): The file.
    RAISES (ValueError): If there is no such pipeline.
    """
    folder = Path(model)
    if is_package(str(model)):
        folder = get_package_path(str(model))
    # An installed package holds the pipeline in a folder with its version.
    for path in (folder / CONFIG, *sorted(folder.glob(f"*/{CONFIG}"))):
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
        f"{model}: this pipeline predicts no relations, since it has no component `tabcnn`, "
        f"`spert` or `pfn` that is enabled (its components: {components}). Name a pipeline that "
        "was trained with one of them"
    )
