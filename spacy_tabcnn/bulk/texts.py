"""Texts through a pipeline: the annotation of each, or the reason why it failed."""

from collections.abc import Sequence
from pathlib import Path

from spacy.language import Language
from spacy.util import get_package_path, is_package

from ..relations import doc_to_annotation
from .parts import Settings
from .rows import RowResult

# Marks without white space between them, such as "(:(:". spaCy's tokenizer takes them off one by
# one, in a time that grows with the square of their number: about 10 seconds for 10,000.
MAX_MARKS = 10_000


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


def describe_marks(nlp: Language, text: str, max_marks: int) -> str:
    """Describe the marks of a text that would take the tokenizer too long.

    nlp (Language): The pipeline. Only spaCy's tokenizer by rules has the limit.
    text (str): The text.
    max_marks (int): Maximum number of characters that are neither letters nor digits, without
        white space between them.
    RETURNS (str): Their number and the limit; empty if the text has fewer.
    """
    if not hasattr(nlp.tokenizer, "prefix_search"):
        return ""
    for stretch in text.split():
        if len(stretch) > max_marks:
            n_marks = sum(not character.isalnum() for character in stretch)
            if n_marks > max_marks:
                return (
                    f"{n_marks:,} punctuation marks or symbols without white space between them; "
                    f"at most {max_marks:,} are allowed"
                )
    return ""


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
        for text in texts:
            excess = describe_marks(nlp, text, MAX_MARKS)
            if excess:
                raise ValueError(f"the text has {excess}")
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
