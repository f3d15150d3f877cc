"""brat's standoff format: a text in `NAME.txt` and its annotations in `NAME.ann`, in a folder or its sub-folders.

`T1<TAB>Type start end[;start end]<TAB>text` is an entity, `R1<TAB>Type Arg1:T1 Arg2:T2` a relation (brat's manual,
"Standoff format"; Stenetorp et al., 2012). The other lines (events, attributes, notes, ...) are counted only. Offsets
count characters (code points) and the end is exclusive. brat counts a byte order mark and both characters of a Windows
line end, while scripts that open the file as text count neither of the first and one of the second: the texts that the
lines quote tell which it was. brat writes an entity that crosses a line break in pieces, so pieces with nothing but
white space between them are one entity; any other discontinuous entity is left out.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from .annotations import (
    BYTE_ORDER_MARK,
    ORIG_ID,
    RelationIndices,
    annotate,
    read_lines,
    read_text,
    write_lines,
)
from .characters import CharacterEntities, check_offsets, extract_spans
from .report import ConversionReport, Reason

TEXT_SUFFIX, ANNOTATION_SUFFIX = ".txt", ".ann"

_ENTITY = re.compile(r"(T\S+)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)", re.DOTALL)
_RELATION = re.compile(r"(R\S+)\t(\S+) (\S+?):(\S+) (\S+?):(\S+)\s*")
_OTHER_LINES = {
    "E": "events",
    "A": "attributes",
    "M": "modifications",
    "N": "normalizations",
    "#": "notes",
    "*": "equivalences",
}
_FILE_NAME = re.compile(r"[\w-][\w.-]*")


class BratDocument(NamedTuple):
    """A text with its annotations.

    name (str): The files' name without its ending, relative to the folder.
    text (str): The text, with a byte order mark and Windows line ends where the file has them.
    lines (Iterable[str] | None): The annotations; None if the text has no such file and so is not annotated.
    path (str): The file with the annotations, for messages.
    """

    name: str
    text: str
    lines: Iterable[str] | None
    path: str = ""


class _TextBound(NamedTuple):
    """A T line: where it stands, its id, label and pieces, and the text that it quotes."""

    here: str
    item_id: str
    label: str
    pieces: list[tuple[int, int]]
    quoted: str


def is_brat_file(path: Path) -> bool:
    """Tell whether a file is one of a pair.

    path (Path): The file.
    RETURNS (bool): True if it is an .ann file, or a .txt file that has one.
    """
    return (
        path.suffix in (TEXT_SUFFIX, ANNOTATION_SUFFIX)
        and path.with_suffix(ANNOTATION_SUFFIX).is_file()
    )


def read_brat(path: str | Path) -> Iterator[BratDocument]:
    """Read the texts and annotations of a folder and its sub-folders, or one pair, one by one.

    path (str | Path): The folder, or one of the two files.
    YIELDS (BratDocument): The documents, sorted by name.
    RAISES (ValueError): If there are none, or a file is missing or not UTF-8.
    """
    path = Path(path)
    if not path.is_dir():
        pair = path.with_suffix(TEXT_SUFFIX), path.with_suffix(ANNOTATION_SUFFIX)
        yield BratDocument(path.stem, read_text(pair[0]), read_lines(pair[1]), str(pair[1]))
        return
    texts = _find_texts(path)
    if not texts:
        raise ValueError(
            f"{path}: the folder holds no {TEXT_SUFFIX} and {ANNOTATION_SUFFIX} files. Check the path"
        )
    for text in texts:
        annotations = text.with_suffix(ANNOTATION_SUFFIX)
        name = text.relative_to(path).with_suffix("").as_posix()
        lines = read_lines(annotations) if annotations.is_file() else None
        yield BratDocument(name, read_text(text), lines, str(annotations))


def write_brat(path: str | Path, documents: Iterable[BratDocument]) -> None:
    """Write texts and annotations to a folder, or one pair.

    path (str | Path): The folder, or the .txt or .ann file of one document.
    documents (Iterable[BratDocument]): The documents.
    RAISES (ValueError): If the folder holds other annotations, or the documents are not one where a file is named.
    """
    path, documents = Path(path), list(documents)
    if path.suffix in (TEXT_SUFFIX, ANNOTATION_SUFFIX):
        if len(documents) != 1:
            raise ValueError(
                f"{path}: a pair of files holds one document, not {len(documents)}. Name a folder"
            )
        bases = [path.with_suffix("")]
    else:
        if path.is_dir() and _find_texts(path):
            raise ValueError(
                f"{path}: the folder holds other texts or annotations. Name a new or an empty folder"
            )
        bases = [path / document.name for document in documents]
    for base, document in zip(bases, documents, strict=True):
        write_lines(f"{base}{ANNOTATION_SUFFIX}", document.lines or [])
        # As bytes: line ends stay as the offsets count them.
        Path(f"{base}{TEXT_SUFFIX}").write_bytes(document.text.encode("utf-8"))


def brat_to_docs(
    documents: Iterable[BratDocument],
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
) -> tuple[list[Doc], ConversionReport]:
    """Turn brat's standoff into annotated documents, which keep the files' names as ids. A relation's head is the
    argument `Arg1`, or the first one where a corpus gives them other names.

    documents (Iterable[BratDocument]): Texts and annotations, taken one by one.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The folder or file, for messages.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for name, text, lines, path in documents:
        where = path or f"{source}, {name}{ANNOTATION_SUFFIX}"
        if lines is None:
            report.ignored[f"texts without an {ANNOTATION_SUFFIX} file"] += 1
            continue
        entities, relations = _parse(lines, report, where)
        found = CharacterEntities(nlp.make_doc(text.removeprefix(BYTE_ORDER_MARK)), report)
        positions = _choose_positions(text, entities)
        for entity in entities:
            _add_entity(entity, positions, found)
        kept = _get_relations(relations, found)
        docs.append(
            annotate(found.doc, found.entities, kept, orig_id=name, report=report, where=where)
        )
    return docs, report


def docs_to_brat(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[BratDocument], ConversionReport]:
    """Turn documents into brat's standoff. The files are named after the documents' ids where those can name a file,
    else they are numbered. Scores have no place in this format.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[BratDocument], ConversionReport]): The documents, and what was written and left out.
    RAISES (ValueError): If a label holds white space, or in strict mode.
    """
    report = ConversionReport(source, strict)
    documents = []
    taken: set[str] = set()
    for index, doc, spans, relations in extract_spans(docs, report=report, source=source):
        for label in [*(span.label_ for span in spans), *(label for _, _, label in relations)]:
            if not label or re.search(r"\s", label):
                raise ValueError(
                    f"{source}, document {index}: brat's labels hold no white space, but one is {label!r}. Rename it"
                )
        lines = [
            _render_entity(f"T{position}", span) for position, span in enumerate(spans, start=1)
        ]
        for position, (head, tail, label) in enumerate(relations, start=1):
            lines.append(f"R{position}\t{label} Arg1:T{head + 1} Arg2:T{tail + 1}")
        name = str(doc.user_data.get(ORIG_ID, ""))
        if not _FILE_NAME.fullmatch(name):
            name = f"doc{index}"
        # Some file systems do not tell upper from lower case.
        while name.casefold() in taken:
            name += f"_{index}"
        taken.add(name.casefold())
        documents.append(BratDocument(name, doc.text, lines))
    return documents, report


def _find_texts(folder: Path) -> list[Path]:
    """Return the text of each pair in a folder, also where only its annotations are there."""
    found = {
        path.with_suffix(TEXT_SUFFIX)
        for path in folder.rglob("*")
        if path.suffix in (TEXT_SUFFIX, ANNOTATION_SUFFIX)
        and path.is_file()
        and not path.name.startswith(".")
    }
    return sorted(found)


def _parse(
    lines: Iterable[str], report: ConversionReport, where: str
) -> tuple[list[_TextBound], list[tuple[str, re.Match[str]]]]:
    entities: list[_TextBound] = []
    relations: list[tuple[str, re.Match[str]]] = []
    for number, line in enumerate(lines, start=1):
        here = f"{where}, line {number}"
        if not line.strip():
            continue
        if match := _ENTITY.fullmatch(line):
            item_id, label, offsets, quoted = match.groups()
            pieces = sorted(
                (int(start), int(end))
                for start, end in (piece.split() for piece in offsets.split(";"))
            )
            entities.append(_TextBound(here, item_id, label, pieces, quoted))
        elif match := _RELATION.fullmatch(line):
            relations.append((here, match))
        elif line[0] in _OTHER_LINES:
            report.ignored[_OTHER_LINES[line[0]]] += 1
        else:
            raise ValueError(
                f"{here}: cannot read {line!r}; expected T1<TAB>Type start end<TAB>text or "
                "R1<TAB>Type Arg1:T1 Arg2:T2, with single spaces. Correct the line"
            )
    return entities, relations


def _choose_positions(text: str, entities: list[_TextBound]) -> Sequence[int]:
    """Return the position in the text (without its byte order mark) of each offset, counted in the first way in which
    all offsets agree with the quoted texts."""
    body = text.removeprefix(BYTE_ORDER_MARK)
    ways: list[Sequence[int]] = [range(len(body) + 1)]
    if "\r\n" in body:
        ways.append(
            [
                position
                for position in ways[0]
                if body[max(position - 1, 0) : position + 1] != "\r\n"
            ]
        )
    if body != text:
        ways += [[0, *way] for way in ways]
    return next(
        (way for way in ways if all(_agrees(entity, body, way) for entity in entities)), ways[0]
    )


def _agrees(entity: _TextBound, body: str, positions: Sequence[int]) -> bool:
    if any(end >= len(positions) for _, end in entity.pieces):
        return False
    marked = " ".join(body[positions[start] : positions[end]] for start, end in entity.pieces)
    # Line breaks and tabs are quoted as spaces.
    return "".join(marked.split()) == "".join(entity.quoted.split())


def _add_entity(entity: _TextBound, positions: Sequence[int], found: CharacterEntities) -> None:
    here, item_id, label, pieces, quoted = entity
    text = found.doc.text
    for start, end in pieces:
        check_offsets(start, end, len(positions) - 1, here)
    if not _agrees(entity, text, positions):
        marked = " ".join(text[positions[start] : positions[end]] for start, end in pieces)
        raise ValueError(
            f"{here}: its offsets mark {marked!r}, but it quotes {quoted!r}. "
            "Correct the offsets, or restore the text that was annotated"
        )
    spans = [(positions[start], positions[end]) for start, end in pieces]
    gaps = [text[end:start] for (_, end), (start, _) in pairwise(spans)]
    if any(gap.strip() for gap in gaps):
        found.leave_out(item_id, Reason.DISCONTINUOUS, here, f"{quoted!r} ({label})")
    else:
        found.add(item_id, spans[0][0], spans[-1][1], label, here)


def _get_relations(
    lines: list[tuple[str, re.Match[str]]], found: CharacterEntities
) -> list[RelationIndices]:
    relations = []
    for here, match in lines:
        _, label, *arguments = match.groups()
        ids = dict(zip(arguments[::2], arguments[1::2], strict=True))
        if len(ids) != 2:
            raise ValueError(
                f"{here}: both arguments are named {arguments[0]!r}. Name them Arg1 and Arg2"
            )
        roles = ("Arg1", "Arg2") if set(ids) == {"Arg1", "Arg2"} else tuple(ids)
        if not all(item_id.startswith("T") for item_id in ids.values()):
            what = f"{label} ({' -> '.join(ids[role] for role in roles)})"
            found.report.drop(Reason.NOT_AN_ENTITY, here, what)
            continue
        head, tail = (found.find(ids[role], role, here) for role in roles)
        relations.append((head, tail, label))
    return relations


def _render_entity(item_id: str, span: Span) -> str:
    text = span.text
    pieces = [match.span() for match in re.finditer(r"[^\r\n]+", text)]
    if not pieces or (pieces[0][0], pieces[-1][1]) != (0, len(text)):
        pieces = [(0, len(text))]
    offsets = ";".join(
        f"{span.start_char + start} {span.start_char + end}" for start, end in pieces
    )
    quoted = " ".join(" ".join(text[start:end].splitlines()) for start, end in pieces).replace(
        "\t", " "
    )
    return f"{item_id}\t{span.label_} {offsets}\t{quoted}"
