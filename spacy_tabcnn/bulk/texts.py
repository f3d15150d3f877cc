"""Texts through a pipeline: the annotation of each, or the reason why it failed."""

from collections.abc import Sequence
from pathlib import Path

from spacy.language import Language
from spacy.util import get_package_path, is_package

from ..relations import doc_to_annotation
from .parts import Settings
from .rows import RowResult


def annotate_texts(
    nlp: Language, texts: Sequence[str], *, batch_size: int | None = None
) -> list[RowResult]:
    """Annotate texts, one by one if some of them fail: a text that fails does not stop the others.

    nlp (Language): The pipeline.
    texts (Sequence[str]): The texts.
    batch_size (int | None): Maximum number of texts that go through the pipeline at once; None for
        all of them.
    RETURNS (list[RowResult]): The result of `doc_to_annotation` for each, or `{"reason": ...}` if
        the text fails.
    """
    if not texts:
        return []
    # Outside a memory zone, the vocabulary would keep every new word.
    with nlp.memory_zone():
        results, reason = _try_to_annotate(nlp, texts, batch_size or len(texts))
    if reason is None:
        return results
    if len(texts) == 1:
        return [{"reason": reason}]
    for text in texts:
        results += annotate_texts(nlp, [text])
    return results


def describe_model(model: str | Path) -> Settings:
    """Describe the files of a pipeline.

    The description differs after the pipeline was trained or installed again.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (Settings): Its folder, and the size and the time of its files.
    RAISES (ValueError): If there is no such pipeline.
    """
    path = Path(model)
    if is_package(str(model)):
        path = get_package_path(str(model))
    n_bytes = 0
    times = []
    for file_ in path.rglob("*"):
        if file_.is_file() and file_.suffix != ".pyc":
            status = file_.stat()
            n_bytes += status.st_size
            times.append(status.st_mtime_ns)
    if not times:
        raise ValueError(
            f"{model}: neither an installed pipeline nor a folder of one. Check its name or path"
        )
    return {"model": str(path.resolve()), "model_size": n_bytes, "model_mtime_ns": max(times)}


def check_at_least_one(**numbers: int) -> None:
    """Check numbers that are 1 or more.

    **numbers (int): The numbers, by the names of their arguments.
    RAISES (ValueError): If one is smaller.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; expected at least 1")


def _try_to_annotate(
    nlp: Language, texts: Sequence[str], batch_size: int
) -> tuple[list[RowResult], str | None]:
    """Annotate texts, or return what was wrong.

    An exception must not leave the memory zone: it would carry documents out of it.
    """
    results: list[RowResult] = []
    try:
        docs = nlp.pipe(texts, batch_size=batch_size)
        for text, doc in zip(texts, docs, strict=True):
            if doc.text != text:
                raise ValueError(
                    "the tokenizer changes the text, so that offsets would not fit it. Replace "
                    "line breaks and repeated spaces"
                )
            results.append({**doc_to_annotation(doc)})
    except (KeyboardInterrupt, SystemExit):
        raise
    # Whatever a component raises is reported; a panic of Rust is no Exception.
    except BaseException as err:
        return [], f"{type(err).__name__}: {err}"
    return results, None
