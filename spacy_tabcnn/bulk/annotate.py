"""A file of documents through a pipeline, in parts, so that a run goes on where it was stopped.

A part keeps what was predicted for a fixed range of rows, or why a row was rejected. Once all parts are there, the
input is read again beside them and written with its annotations.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_package_path, is_package, minibatch
from thinc.api import require_gpu

from ..relations import ENTITY_SCORES_KEY, get_relations
from .output import REASON, write_output
from .parts import Parts, atomic_file, lock_output
from .rows import Row, count_rows, get_format, import_parquet, read_rows

# Entities and relations, or the reason of a rejection.
Result = dict[str, Any]
# Wraps an iterable, given the number of all its items and of those done before.
Progress = Callable[[Iterable[Result], int, int], Iterable[Result]]


class Summary(NamedTuple):
    """What a run did.

    n_rows (int): Rows of the output.
    n_rejected (int): Documents that were rejected.
    n_resumed (int): Documents of the input that earlier runs had done.
    """

    n_rows: int
    n_rejected: int
    n_resumed: int


def annotate_file(
    model: str | Path,
    source: Path,
    output: Path,
    *,
    text_field: str = "text",
    batch_size: int = 64,
    part_size: int = 1024,
    n_process: int = 1,
    gpu_id: int = -1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Summary | None:
    """Annotate each document of a file. Stopped at any moment and called again with the same arguments, it goes on with
    the first part that is missing; `batch_size`, `n_process` and `gpu_id` may change.

    model (str | Path): Name or folder of the pipeline.
    source (Path): A .jsonl, .txt (a document a line) or .parquet file.
    output (Path): The .jsonl or .parquet file to write: the fields of the input and `entities` and `relations`, which
        replace fields of these names. Rejected documents go to `output` + ".rejects.jsonl": their line, their `id` if
        they have one, and the reason.
    text_field (str): The field that holds the text.
    batch_size (int): How many documents to annotate at once.
    part_size (int): How many documents make a part: what a stop can lose, at most.
    n_process (int): How many processes annotate. They are spawned: a script that asks for more than one needs
        `if __name__ == "__main__"`.
    gpu_id (int): The GPU, or -1 for the CPU.
    overwrite (bool): Start over, whatever there is.
    progress (Progress | None): Wraps the stream of results to show how far it is.
    RETURNS (Summary | None): What was done; None if an earlier run had been stopped when all was done.
    RAISES (ImportError): If a file is Parquet and pyarrow is missing.
    RAISES (OSError): If a file cannot be read or written, another run is writing the output, or a process dies.
    RAISES (ValueError): If the output exists or was begun with other settings, or an argument is malformed.
    """
    if "parquet" in (get_format(source), get_format(output, formats=("jsonl", "parquet"))):
        import_parquet()
    if source.resolve() == output.resolve():
        raise ValueError(f"{output}: is the input too. Name another file for the output")
    settings = {
        **_describe_input(source),
        **describe_model(model),
        "text_field": text_field,
        "part_size": part_size,
    }
    with lock_output(output):
        parts = Parts(output)
        if not parts.open(settings, overwrite=overwrite):
            return None
        n_parts = parts.count()
        rows = islice(
            read_rows(source, text_field=text_field, only_text=True), n_parts * part_size, None
        )
        # A batch ends where a part does, so that a resumed run has the same batches.
        batches = (
            batch for part in minibatch(rows, part_size) for batch in minibatch(part, batch_size)
        )
        results: Iterable[Result] = _annotate_batches(
            model, batches, text_field=text_field, n_process=n_process, gpu_id=gpu_id
        )
        n_resumed = 0
        if progress is not None or n_parts:
            total = count_rows(source)
            n_resumed = min(n_parts * part_size, total)
            results = results if progress is None else progress(results, total, n_resumed)
        for number, part in enumerate(minibatch(results, part_size), n_parts):
            parts.write(number, part)
        if _describe_input(source).items() - settings.items():
            raise ValueError(
                f"{source}: changed while it was annotated. Start over with --overwrite"
            )
        rejects = output.with_name(f"{output.name}.rejects.jsonl")
        with atomic_file(output, parts.folder) as file_:
            with atomic_file(rejects, parts.folder) as rejects_file:
                n_rows, n_rejected = write_output(
                    source,
                    parts.read(),
                    file_,
                    rejects_file,
                    text_field=text_field,
                    to_parquet=get_format(output) == "parquet",
                )
            if not n_rejected:
                rejects.unlink()
        parts.remove()
        return Summary(n_rows, n_rejected, n_resumed)


def annotate_texts(nlp: Language, texts: list[str]) -> list[Result]:
    """Annotate texts, if need be one by one: a text that fails does not take the others with it.

    nlp (Language): The pipeline.
    texts (list[str]): The texts.
    RETURNS (list[Result]): What `doc_to_annotation` makes of each, or `{"reason": ...}` if it fails.
    """
    if not texts:
        return []
    # Outside a memory zone, the vocabulary would keep every new word for ever.
    with nlp.memory_zone():
        results, reason = _try_to_annotate(nlp, texts)
    if reason is None:
        return results
    if len(texts) == 1:
        return [{REASON: reason}]
    return [result for text in texts for result in annotate_texts(nlp, [text])]


def doc_to_annotation(doc: Doc) -> dict[str, list[dict[str, Any]]]:
    """Turn the annotation of a document into plain data.

    doc (Doc): The document.
    RETURNS (dict): `entities`, a list of {start, end, label, score} in characters of the text, and `relations`, a list
        of {head, tail, label, score} with indices into `entities`. A score is None if the component gave none. An
        argument of a relation that is not in doc.ents follows the entities.
    """
    scores = {
        (start, end, label): score
        for start, end, label, score in doc.user_data.get(ENTITY_SCORES_KEY, ())
    }
    spans = list(doc.ents)
    indices = {(span.start, span.end): index for index, span in enumerate(spans)}
    relations = []
    for relation in get_relations(doc):
        for span in (relation.head, relation.tail):
            if (span.start, span.end) not in indices:
                indices[span.start, span.end] = len(spans)
                spans.append(span)
        head, tail = (indices[span.start, span.end] for span in (relation.head, relation.tail))
        relations.append(
            {"head": head, "tail": tail, "label": relation.label, "score": relation.score}
        )
    entities = [
        {
            "start": span.start_char,
            "end": span.end_char,
            "label": span.label_,
            "score": scores.get((span.start, span.end, span.label_)),
        }
        for span in spans
    ]
    return {"entities": entities, "relations": relations}


def describe_model(model: str | Path) -> dict[str, Any]:
    """Tell a pipeline from one that was trained or installed anew in its place.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (dict[str, Any]): Its folder, and the size and the time of its files.
    RAISES (ValueError): If there is none.
    """
    path = get_package_path(str(model)) if is_package(str(model)) else Path(model)
    files = [
        file_.stat() for file_ in path.rglob("*") if file_.is_file() and file_.suffix != ".pyc"
    ]
    if not files:
        raise ValueError(
            f"{model}: neither an installed pipeline nor a folder of one. Check its name or path"
        )
    return {
        "model": str(path.resolve()),
        "model_size": sum(status.st_size for status in files),
        "model_mtime_ns": max(status.st_mtime_ns for status in files),
    }


def _try_to_annotate(nlp: Language, texts: list[str]) -> tuple[list[Result], str | None]:
    """Annotate texts, or tell what was wrong: no exception carries documents out of the memory zone."""
    try:
        docs = nlp.pipe(texts, batch_size=len(texts))
        return [doc_to_annotation(doc) for _, doc in zip(texts, docs, strict=True)], None
    except Exception as err:  # whatever a component raises; it is reported
        return [], f"{type(err).__name__}: {err}"


def _annotate_batches(
    model: str | Path, batches: Iterable[list[Row]], *, text_field: str, n_process: int, gpu_id: int
) -> Iterator[Result]:
    """Annotate batches of rows in this process or several others: the result of each row, in order."""
    if n_process == 1:
        nlp = _load(model, gpu_id)
        for rows in batches:
            yield from _merge(rows, annotate_texts(nlp, _get_texts(rows, text_field)))
        return
    # Not nlp.pipe(n_process=...), which waits for ever if a process dies, and sends whole documents back.
    with ProcessPoolExecutor(
        n_process, mp_context=get_context("spawn"), initializer=_follow_parent
    ) as pool:
        waiting: deque[tuple[list[Row], Future[list[Result]]]] = deque()
        try:
            for rows in batches:
                waiting.append(
                    (
                        rows,
                        pool.submit(
                            _annotate_in_worker, model, gpu_id, _get_texts(rows, text_field)
                        ),
                    )
                )
                if len(waiting) > 2 * n_process:
                    rows, future = waiting.popleft()
                    yield from _merge(rows, future.result())
            for rows, future in waiting:
                yield from _merge(rows, future.result())
        except BrokenProcessPool as err:
            raise ChildProcessError(
                "a worker process died, perhaps of too little memory. The same command goes on where it was; it may "
                "have a smaller --batch-size or --n-process"
            ) from err


def _get_texts(rows: list[Row], text_field: str) -> list[str]:
    return [row.record[text_field] for row in rows if row.reason is None]


def _merge(rows: list[Row], results: list[Result]) -> Iterator[Result]:
    """Put the results of the rows that could be read between the reasons of the others."""
    annotated = iter(results)
    for row in rows:
        yield next(annotated) if row.reason is None else {REASON: row.reason}


def _load(model: str | Path, gpu_id: int) -> Language:
    if gpu_id >= 0:
        require_gpu(gpu_id)
    return spacy.load(model)


_load_once = lru_cache(maxsize=1)(_load)


def _annotate_in_worker(model: str | Path, gpu_id: int, texts: list[str]) -> list[Result]:
    return annotate_texts(_load_once(model, gpu_id), texts)


def _follow_parent() -> None:
    """End this worker process when its parent is killed, which it would not notice."""

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()


def _describe_input(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "input": str(path.resolve()),
        "input_size": status.st_size,
        "input_mtime_ns": status.st_mtime_ns,
    }
