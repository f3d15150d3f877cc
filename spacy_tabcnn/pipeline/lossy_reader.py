"""Refuses spaCy's own corpus reader where it loses relations: where it splits documents."""

from collections.abc import Mapping

from spacy.language import Language
from spacy.util import dot_to_object, resolve_dot_names
from thinc.api import Config

from ..relations import has_relations

# `spacy init config` writes it.
LOSSY_READER = "spacy.Corpus.v1"


def check_train_reader(nlp: Language, name: str, n_unannotated: int, n_annotated: int) -> None:
    """Check that the reader of the training corpus has lost no relations.

    nlp (Language): The pipeline.
    name (str): Name of the component, for the message.
    n_unannotated (int): Documents that were read with entities and without relations.
    n_annotated (int): Documents that were read with relations.
    RAISES (ValueError): If it has.
    """
    config = nlp.config.interpolate()
    section = config["training"].get("train_corpus", "corpora.train")
    settings = _find_settings(config, section)
    if settings is None or not n_unannotated:
        return
    if _splits(settings) or not n_annotated:
        raise ValueError(_describe(name, section, n_unannotated))


def check_dev_reader(nlp: Language, name: str) -> None:
    """Check that the reader of the development corpus loses no relations; they would score 0.

    The corpus is read only if its reader splits documents.

    nlp (Language): The pipeline.
    name (str): Name of the component, for the message.
    RAISES (ValueError): If it does.
    """
    config = nlp.config.interpolate()
    section = config["training"].get("dev_corpus", "corpora.dev")
    settings = _find_settings(config, section)
    if settings is None or not _splits(settings):
        return
    (reader,) = resolve_dot_names(config, [section])
    n_unannotated = 0
    for eg in reader(nlp):
        if eg.reference.ents and not has_relations(eg.reference):
            n_unannotated += 1
    if n_unannotated:
        raise ValueError(_describe(name, section, n_unannotated))


def _find_settings(config: Config, section: str) -> Mapping[str, object] | None:
    """Return the settings of a reader, or None if it is another one or reads nothing."""
    try:
        settings = dot_to_object(config, section)
    except KeyError:
        return None
    if settings.get("@readers") != LOSSY_READER or settings.get("path") is None:
        return None
    return dict(settings)


def _splits(settings: Mapping[str, object]) -> bool:
    return bool(settings.get("max_length") or settings.get("gold_preproc"))


def _describe(name: str, section: str, n_unannotated: int) -> str:
    return (
        f"Component '{name}': the corpus of [{section}] has {n_unannotated} documents with "
        f"entities and without relations. [{section}] reads it with {LOSSY_READER}, which loses "
        "relations where it splits documents. In the blocks of the training and the development "
        'corpus, set @readers = "spacy-tabcnn.RelationCorpus.v1", with the path as the only other '
        "setting, or make a config with `spacy tabcnn init-config mine.cfg`"
    )
