"""Several trained pipelines joined to one that averages their tables."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from spacy.language import Language
from spacy.ty import ListenedToComponent
from thinc.api import Model

from ..models.table_ensemble import NAME
from ..predictions import UNSOFTENED
from .relation_table import RelationTable

# The end of the names of layers that listen to an encoder, in a config.
_LISTENERS = ("TransformerListener.v1", "Tok2VecListener.v1")
# Settings by which tables become entities and relations.
_DECODING = ("aggregation", "min_score", "type_constraints", "max_length", "entities")
# The parts of pipelines that decide on the words of a text and their vectors.
_READ_ALIKE: dict[str, Callable[[Language], object]] = {
    "language": lambda nlp: nlp.lang,
    "tokenizer": lambda nlp: cast(Any, nlp.tokenizer).to_bytes(exclude=["vocab"]),
    "word vectors": lambda nlp: nlp.vocab.vectors.data.tobytes(),
}


class _Member(NamedTuple):
    """A pipeline with the component whose tables are averaged.

    source (str): Name of the pipeline in messages.
    nlp (Language): The pipeline.
    name (str): Name of its component.
    pipe (RelationTable): The component.
    """

    source: str
    nlp: Language
    name: str
    pipe: RelationTable


def join_pipelines(pipelines: Mapping[str, Language]) -> Language:
    """Join trained pipelines to one whose tables are the averages of theirs.

    The first pipeline gives all other components, and the settings of the component. Members with
    the same encoder as the first share it; the others bring their own.

    pipelines (Mapping[str, Language]): The pipelines by names for messages. They are changed, and
        of no further use.
    RETURNS (Language): The first pipeline, with the averaging component in the place of its own.
    RAISES (ValueError): If there are fewer than two pipelines, if one has no or several components
        `relation_table`, if the component is not trained, if labels or settings differ, or if one
        after the first is an ensemble with an encoder of its own.
    """
    if len(pipelines) < 2:
        raise ValueError(f"An ensemble needs two pipelines or more; got {len(pipelines)}")
    members = [_find_member(source, nlp) for source, nlp in pipelines.items()]
    first = members[0]
    for member in members[1:]:
        _check_alike(first, member)
    _share_encoders(members)
    return _replace_component(first, members)


def _find_member(source: str, nlp: Language) -> _Member:
    found = [(name, pipe) for name, pipe in nlp.pipeline if isinstance(pipe, RelationTable)]
    if len(found) != 1:
        raise ValueError(
            f"{source}: expected one component `relation_table` (or `tabcnn`) that is enabled, "
            f"found {len(found)}. Only tables can be averaged"
        )
    name, pipe = found[0]
    pipe.require_initialized()
    # The members' temperatures do not fit the average, nor do thresholds of softened scores.
    nlp.get_pipe_config(name).update(pipe.soften_scores(pipe.temperature.inverse()))
    return _Member(source, nlp, name, pipe)


def _check_alike(first: _Member, member: _Member) -> None:
    """Check that a member reads the same words, predicts the same labels and decodes alike."""
    for name, read in _READ_ALIKE.items():
        if read(first.nlp) != read(member.nlp):
            raise ValueError(
                f"{member.source} and {first.source} differ in their {name}. All members read the "
                "words of the first pipeline, so train them with the same one"
            )
    ours, theirs = first.pipe.label_scheme, member.pipe.label_scheme
    if (ours.entities, ours.relations) != (theirs.entities, theirs.relations):
        raise ValueError(
            f"{member.source} has the labels {', '.join(member.pipe.labels)}; {first.source} has "
            f"{', '.join(first.pipe.labels)}. Train all members with the same labels in the same "
            "order: on one corpus, or with the labels that `spacy init labels` writes"
        )
    if ours != theirs:
        raise ValueError(
            f"{member.source} and {first.source} differ in the entity types that their relations "
            "join. Train all members on one corpus, or with the labels that `spacy init labels` "
            "writes"
        )
    for setting in _DECODING:
        if not _is_equal(first.pipe.cfg[setting], member.pipe.cfg[setting]):
            raise ValueError(
                f"{member.source} has {setting} = {member.pipe.cfg[setting]!r}; {first.source} has "
                f"{first.pipe.cfg[setting]!r}. Set it alike in the config.cfg of both"
            )


def _is_equal(setting: object, other: object) -> bool:
    """Compare two settings. Thresholds are rounded where softening was taken back."""
    if isinstance(setting, float) and isinstance(other, float):
        return math.isclose(setting, other, abs_tol=1e-9)
    return setting == other


def _share_encoders(members: Sequence[_Member]) -> None:
    """Copy the encoder into each member that listens to another one than the first member.

    RAISES (ValueError): If such a member is an ensemble itself.
    """
    shared = dict(_find_encoders(members[0]))
    digests = {name: _digest(encoder) for name, encoder in shared.items()}
    for member in members[1:]:
        for name, encoder in _find_encoders(member):
            if name not in digests or _digest(encoder) != digests[name]:
                _copy_encoder(member, name)


def _copy_encoder(member: _Member, name: str) -> None:
    config = member.nlp.get_pipe_config(member.name)
    if "tok2vec" not in config["model"]:  # the section that spaCy expects a listener in
        raise ValueError(
            f"{member.source} is an ensemble, and its encoder is another one than the first "
            "model's. Name this ensemble first, or its members instead of it"
        )
    member.nlp.replace_listeners(name, member.name, list(_find_listeners(config, name)))


def _find_encoders(member: _Member) -> list[tuple[str, Any]]:
    """Find the components to whose output a member's component listens."""
    encoders: list[tuple[str, Any]] = []
    for name, pipe in member.nlp.pipeline:
        if isinstance(pipe, ListenedToComponent) and pipe.listener_map.get(member.name):
            encoders.append((name, pipe))
    return encoders


def _digest(encoder: Any) -> bytes:
    """Compute a digest of all settings and weights of a component."""
    return hashlib.sha256(encoder.to_bytes(exclude=["vocab"])).digest()


def _find_listeners(section: object, encoder: str, path: str = "") -> Iterator[str]:
    """Yield the paths of the listeners to an encoder in the config of a component."""
    if not isinstance(section, Mapping):
        return
    if str(section.get("@architectures", "")).endswith(_LISTENERS):
        if section.get("upstream", "*") in ("*", encoder):
            yield path.removeprefix(".")
        return
    for key, value in section.items():
        yield from _find_listeners(value, encoder, f"{path}.{key}")


def _replace_component(first: _Member, members: Sequence[_Member]) -> Language:
    """Put a component that averages the members' tables in the place of the first one's."""
    nlp = first.nlp
    configs: dict[str, Any] = {}
    models: list[Model] = []
    for number, member in enumerate(members, start=1):
        config = member.nlp.config.interpolate()
        configs[f"member{number}"] = config["components"][member.name]["model"]
        models.append(member.pipe.model)
    settings = {**nlp.get_pipe_config(first.name), "model": {"@architectures": NAME, "*": configs}}
    settings["temperature"] = UNSOFTENED._asdict()
    factory = settings.pop("factory")
    following = nlp.component_names[nlp.component_names.index(first.name) + 1 :]
    nlp.remove_pipe(first.name)
    before = following[0] if following else None
    pipe = nlp.add_pipe(factory, name=first.name, config=settings, before=before)
    joined = cast(RelationTable, pipe)
    for layer, model in zip(joined.model.layers, models, strict=True):
        layer.from_bytes(model.to_bytes())
    joined.cfg["labels"] = first.pipe.cfg["labels"]
    joined.cfg["trained_on"] = first.pipe.cfg["trained_on"]
    nlp.meta["performance"] = {}
    return nlp
