"""brat's standoff format.

A document is a text in `NAME.txt` with its annotations in `NAME.ann`, in a folder or its
sub-folders. An annotation is a line, with tabs between its parts:

    T1<TAB>Type start end[;start end]<TAB>text    an entity
    R1<TAB>Type Arg1:T1 Arg2:T2                   a relation
    E1<TAB>Type:T1 Role:T2 Role:E2                an event

See brat's manual, "Standoff format" (Stenetorp et al., 2012). An event stands for its trigger, the
entity that follows its type. So a relation of an event is a relation of its trigger. The arguments
of an event can be read as relations from its trigger. The other lines (attributes, notes, ...) are
counted, but not read. Offsets count characters (code points) and the end is exclusive.

brat counts a byte order mark and both characters of a Windows line end. Scripts that open the file
as text do not count the mark, and count the line end as one character. The texts that the lines
quote show how the offsets were counted.

brat writes an entity that crosses a line break in pieces. So pieces with only white space between
them are one entity. Any other discontinuous entity is left out.
"""

import operator
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..files import fill_folder, is_temporary, open_new, replace_folder
from ..relations import is_text
from .alignment import MAX_SHOWN
from .character_formats import (
    CharacterEntities,
    GoldSpans,
    Offsets,
    get_gold_spans,
    make_doc,
)
from .conversion import ConversionReport, Reason
from .fields import check_offsets, shorten
from .files import BYTE_ORDER_MARK, check_file, read_lines, read_text
from .gold import RelationIndices
from .options import DEFAULT_OPTIONS, ReadingOptions
from .records import collect_docs

TEXT_SUFFIX = ".txt"
ANNOTATION_SUFFIX = ".ann"
# Among the ignored parts: texts that nobody has annotated.
WITHOUT_ANNOTATION = f"texts without an {ANNOTATION_SUFFIX} file"
_SUFFIXES = (TEXT_SUFFIX, ANNOTATION_SUFFIX)

_ENTITY = re.compile(r"(T\S+)\t(\S+) ([0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*)\t(.*)", re.DOTALL)
_MAX_DIGITS = 18  # of an offset
# A role has no colon. Otherwise a line with many colons could be divided in too many ways.
_RELATION = re.compile(r"R\S+\t(\S+) ([^\s:]+):(\S+) ([^\s:]+):(\S+)\s*")
_EVENT = re.compile(r"(E\S+)\t([^\s:]+:\S+(?: [^\s:]+:\S+)*)\s*")
_NUMBERED_ROLE = re.compile(r"(.*?\D)\d+")
_ROLES = ("Arg1", "Arg2")  # the head and the tail
_OTHER_LINES = {
    "A": "attributes",
    "M": "modifications",
    "N": "normalizations",
    "#": "notes",
    "*": "equivalences",
}
_FILE_NAME = re.compile(r"[\w-][\w.-]*")
_MAX_NAME = 200  # bytes; file systems take 255, with an ending and a number
# Names that Windows keeps for devices, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
RENAMED = "documents whose id cannot name a file of their own; their number is in the name"


class BratDocument(NamedTuple):
    """A text with its annotations.

    name (str): The name of the files without ending, relative to the folder.
    text (str): The text, with a byte order mark and Windows line ends if the file has them.
    lines (Iterable[str] | None): The annotations; None if the text has no .ann file, which means
        that it is not annotated.
    path (str): The file with the annotations, for messages.
    """

    name: str
    text: str
    lines: Iterable[str] | None
    path: str = ""


class _EntityLine(NamedTuple):
    """A T line.

    where (str): File and line, for messages.
    item_id (str): The entity's id.
    label (str): Its label.
    pieces (list[tuple[int, int]]): The offsets of its pieces, in text order.
    quoted (str): The text that the line quotes.
    """

    where: str
    item_id: str
    label: str
    pieces: list[tuple[int, int]]
    quoted: str


class _RelationLine(NamedTuple):
    """An R line.

    where (str): File and line, for messages.
    label (str): The relation's label.
    arguments (list[tuple[str, str]]): Role and id of the head, and of the tail.
    """

    where: str
    label: str
    arguments: list[tuple[str, str]]


class BratFiles(NamedTuple):
    """The files of a document that is not read yet.

    name (str): Their name without ending, relative to the folder.
    text (Path): The file with the text.
    """

    name: str
    text: Path

    @property
    def annotations(self) -> Path:
        """Return the file with the annotations.

        RETURNS (Path): It may be missing.
        """
        return self.text.with_suffix(ANNOTATION_SUFFIX)

    def read(self) -> BratDocument:
        """Read both files.

        RETURNS (BratDocument): The document; its lines are read one by one.
        RAISES (ValueError): If the text is missing or is not UTF-8.
        """
        lines = None
        if self.annotations.is_file():
            lines = read_lines(self.annotations)
        return BratDocument(self.name, read_text(self.text), lines, str(self.annotations))


class _EventLine(NamedTuple):
    """An E line.

    where (str): File and line, for messages.
    event_id (str): The event's id.
    trigger (str): The id of its trigger.
    arguments (list[tuple[str, str]]): Role and id of each argument.
    """

    where: str
    event_id: str
    trigger: str
    arguments: list[tuple[str, str]]


class _MarkedText:
    """A text, and the comparison of its parts with the texts that lines quote.

    text (str): The text, without a byte order mark.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        # Number of characters before each position, without white space. By it, most wrong offsets
        # are seen without a copy of the marked text, which may be long.
        self._n_letters = [0, *accumulate(map(_is_letter, text))]

    def agrees(self, positions: Sequence[int], entity: _EntityLine) -> bool:
        """Check whether the offsets of an entity mark the text that its line quotes.

        positions (Sequence[int]): The position in the text of each offset.
        entity (_EntityLine): The entity.
        RETURNS (bool): True if both texts have the same characters, except for white space.
        """
        n_letters = 0
        for start, end in entity.pieces:
            if max(start, end) >= len(positions):
                return False
            n_letters += self._n_letters[positions[end]] - self._n_letters[positions[start]]
        # Line breaks and tabs are quoted as spaces.
        quoted = "".join(entity.quoted.split())
        if n_letters != len(quoted):
            return False
        return "".join(self.show(positions, entity).split()) == quoted

    def show(self, positions: Sequence[int], entity: _EntityLine) -> str:
        """Return the text that the offsets of an entity mark.

        positions (Sequence[int]): The position in the text of each offset.
        entity (_EntityLine): The entity.
        RETURNS (str): Its pieces with spaces between them.
        """
        pieces = []
        for start, end in entity.pieces:
            pieces.append(self.text[positions[start] : positions[end]])
        return " ".join(pieces)


class _Lines(NamedTuple):
    """The lines of a document that are read.

    entities (list[_EntityLine]): The T lines.
    relations (list[_RelationLine]): The R lines.
    events (list[_EventLine]): The E lines.
    """

    entities: list[_EntityLine]
    relations: list[_RelationLine]
    events: list[_EventLine]


def is_brat_file(path: Path) -> bool:
    """Check whether a file is one of a pair.

    path (Path): The file.
    RETURNS (bool): True if it is an .ann file, or a .txt file next to one.
    """
    return path.suffix in _SUFFIXES and path.with_suffix(ANNOTATION_SUFFIX).is_file()


def find_brat(path: str | Path) -> list[BratFiles]:
    """Find the texts and annotations of a folder and its sub-folders, or one pair.

    path (str | Path): The folder, or one of the two files.
    RETURNS (list[BratFiles]): The files of each document, sorted by name. A text or its annotations
        may be missing.
    RAISES (ValueError): If the folder holds none, or a file of the pair does not exist.
    """
    path = Path(path)
    if not path.is_dir():
        check_file(path.with_suffix(ANNOTATION_SUFFIX))
        return [BratFiles(path.stem, path.with_suffix(TEXT_SUFFIX))]
    found = []
    for text in _find_texts(path):
        found.append(BratFiles(text.relative_to(path).with_suffix("").as_posix(), text))
    if not found:
        raise ValueError(
            f"{path}: the folder holds no {TEXT_SUFFIX} and {ANNOTATION_SUFFIX} files. "
            "Check the path"
        )
    return found


def read_brat(path: str | Path) -> Iterator[BratDocument]:
    """Read the texts and annotations of a folder and its sub-folders, or of one pair, one by one.

    path (str | Path): The folder, or one of the two files.
    YIELDS (BratDocument): The documents, sorted by name.
    RAISES (ValueError): If there are none, or a file is missing or not UTF-8.
    """
    for files in find_brat(path):
        yield files.read()


def write_brat(path: str | Path, documents: Iterable[BratDocument]) -> None:
    """Write texts and annotations to a folder, or one pair of files.

    path (str | Path): The folder, or the .txt or .ann file of one document.
    documents (Iterable[BratDocument]): The documents.
    RAISES (ValueError): If the folder holds other annotations, or the path is a file and the number
        of documents is not one.
    """
    path, documents = Path(path), list(documents)
    if path.suffix in _SUFFIXES:
        if len(documents) != 1:
            raise ValueError(
                f"{path}: a pair of files holds one document, not {len(documents)}. Name a folder"
            )
        with fill_folder(path.parent) as folder:
            _write_pair(folder / path.stem, documents[0])
        return
    if path.is_dir() and _find_texts(path):
        raise ValueError(
            f"{path}: the folder holds other texts or annotations. Name a new or an empty folder"
        )
    write = fill_folder
    if not path.exists():
        write = replace_folder  # in one step
    with write(path) as folder:
        for document in documents:
            _write_pair(folder / document.name, document)


def brat_to_docs(
    documents: Iterable[BratDocument | BratFiles],
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn brat's standoff into annotated documents, with the names of the files as ids.

    The head of a relation is the argument `Arg1`, or the first one if a corpus uses other names.

    documents (Iterable[BratDocument | BratFiles]): Texts and annotations, or the files with them.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The folder or file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    read = partial(_read_document, nlp, options)
    items = map(partial(_locate, source), documents)
    return collect_docs(items, read, report, skip_bad=options.skip_bad), report


def docs_to_brat(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[BratDocument], ConversionReport]:
    """Turn documents into brat's standoff.

    The files are named after the ids of the documents. A document without an id that can name a
    file gets a number. The format has no place for scores.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[BratDocument], ConversionReport]): The documents, and counts of the written
        and the left-out parts.
    RAISES (ValueError): If a label holds white space, or in strict mode.
    """
    report = ConversionReport(source, strict)
    documents = []
    taken: set[str] = set()
    for gold in get_gold_spans(docs, report=report, source=source):
        lines = _render_lines(gold, f"{source}, document {gold.position}")
        name = _choose_name(gold, taken)
        taken.add(_fold_name(name))
        if gold.orig_id is not None and str(gold.orig_id) != name:
            report.noted[RENAMED] += 1
        documents.append(BratDocument(name, gold.doc.text, lines))
    return documents, report


def _find_texts(folder: Path) -> list[Path]:
    """Return the path of the text of each pair in a folder, also if the text itself is missing."""
    found = set()
    for path in folder.rglob("*"):
        if is_temporary(path.relative_to(folder)):
            continue  # of a killed command
        if path.suffix in _SUFFIXES and path.is_file() and not path.name.startswith("."):
            found.add(path.with_suffix(TEXT_SUFFIX))
    return sorted(found)


def _locate(
    source: str, document: BratDocument | BratFiles
) -> tuple[str, BratDocument | BratFiles]:
    """Return the place of a document, for messages, and the document."""
    if isinstance(document, BratFiles):
        # The bytes of a name that is no UTF-8 cannot be printed.
        place = str(document.annotations).encode("utf-8", "backslashreplace")
        return place.decode("utf-8"), document
    return document.path or f"{source}, {document.name}{ANNOTATION_SUFFIX}", document


def _read_document(
    nlp: Language,
    options: ReadingOptions,
    document: BratDocument | BratFiles,
    report: ConversionReport,
    where: str,
) -> list[Doc]:
    if not is_text(document.name):
        raise ValueError(f"{where}: the name of the file is not UTF-8. Rename both files")
    if isinstance(document, BratFiles):
        document = document.read()
    if document.lines is None:
        report.ignored[WITHOUT_ANNOTATION] += 1
        return []
    lines = _parse_lines(document.lines, report, where)
    marked = _MarkedText(document.text.removeprefix(BYTE_ORDER_MARK))
    found = CharacterEntities(make_doc(nlp, marked.text, where), report, options)
    positions = _choose_positions(document.text, marked, lines.entities, utf16=options.utf16)
    for entity in lines.entities:
        _add_entity(entity, marked, positions, found)
    _name_events(lines.events, found)
    relations = _get_relations(lines.relations, found)
    if options.event_arguments:
        relations += _get_arguments(lines.events, found)
    else:
        _count_arguments(lines.events, report)
    return [found.set_gold(relations, orig_id=document.name, where=where)]


def _parse_lines(lines: Iterable[str], report: ConversionReport, where: str) -> _Lines:
    """Return the lines of entities, relations and events, and count the others."""
    parsed = _Lines([], [], [])
    for number, line in enumerate(lines, start=1):
        here = f"{where}, line {number}"
        if not line.strip():
            continue
        if match := _ENTITY.fullmatch(line):
            parsed.entities.append(_parse_entity(match, here))
        elif match := _RELATION.fullmatch(line):
            parsed.relations.append(_parse_relation(match, here))
        elif match := _EVENT.fullmatch(line):
            parsed.events.append(_parse_event(match, here))
        elif line[0] in _OTHER_LINES and "\r" not in line:
            report.ignored[_OTHER_LINES[line[0]]] += 1
        else:
            raise ValueError(
                f"{here}: cannot read {shorten(line, MAX_SHOWN)!r}; expected "
                "T1<TAB>Type start end<TAB>text, R1<TAB>Type Arg1:T1 Arg2:T2 or "
                "E1<TAB>Type:T1 Role:T2, with single spaces. Correct the line"
            )
    return parsed


def _parse_entity(match: re.Match[str], where: str) -> _EntityLine:
    item_id, label, offsets, quoted = match.groups()
    pieces = []
    for piece in offsets.split(";"):
        start, end = piece.split(" ")
        if max(len(start), len(end)) > _MAX_DIGITS:
            raise ValueError(
                f"{where}: the offsets {shorten(piece)} have more than {_MAX_DIGITS} digits. "
                "Correct them"
            )
        pieces.append((int(start), int(end)))
    return _EntityLine(where, item_id, label, sorted(pieces), quoted)


def _parse_relation(match: re.Match[str], where: str) -> _RelationLine:
    label, first_role, first_id, second_role, second_id = match.groups()
    if first_role == second_role:
        raise ValueError(
            f"{where}: both arguments are named {first_role!r}. Name them {' and '.join(_ROLES)}"
        )
    arguments = [(first_role, first_id), (second_role, second_id)]
    if (second_role, first_role) == _ROLES:
        arguments.reverse()
    return _RelationLine(where, label, arguments)


def _parse_event(match: re.Match[str], where: str) -> _EventLine:
    event_id, parts = match.groups()
    arguments = []
    for part in parts.split(" "):
        role, _, item_id = part.partition(":")
        arguments.append((role, item_id))
    _, trigger = arguments[0]
    return _EventLine(where, event_id, trigger, arguments[1:])


def _choose_positions(
    text: str, marked: _MarkedText, entities: Sequence[_EntityLine], *, utf16: bool
) -> Sequence[int]:
    """Return the position in the text, without its byte order mark, of each offset.

    Offsets are counted in the first way that agrees with all quoted texts, or else as plain
    characters.
    """
    body = marked.text
    every_character = Offsets(body, utf16=utf16).positions
    ways: list[Sequence[int]] = [every_character]
    if "\r\n" in body:
        ways.append(_count_line_ends_once(body, every_character))
    if body != text:
        ways += [[0, *way] for way in ways]
    for way in ways:
        if all(map(partial(marked.agrees, way), entities)):
            return way
    return every_character


def _count_line_ends_once(text: str, every_character: Sequence[int]) -> list[int]:
    """Return the positions in a text except those between the two characters of a line end."""
    positions = []
    for position in every_character:
        if text[max(position - 1, 0) : position + 1] != "\r\n":
            positions.append(position)
    return positions


def _is_letter(character: str) -> bool:
    """Check whether a character is no white space."""
    return not character.isspace()


def _add_entity(
    entity: _EntityLine,
    marked: _MarkedText,
    positions: Sequence[int],
    found: CharacterEntities,
) -> None:
    where, item_id, label, pieces, quoted = entity
    text = found.text
    for start, end in pieces:
        check_offsets(start, end, len(positions) - 1, "characters", where)
    if not marked.agrees(positions, entity):
        shown = shorten(marked.show(positions, entity), MAX_SHOWN)
        raise ValueError(
            f"{where}: its offsets mark {shown!r}, but it quotes {shorten(quoted, MAX_SHOWN)!r}. "
            "Correct the offsets, or restore the text that was annotated"
        )
    for (_, end), (start, _) in pairwise(pieces):
        if text[positions[end] : positions[start]].strip():
            found.leave_out(item_id, Reason.DISCONTINUOUS, where, f"{quoted!r} ({label})")
            return
    # A piece may lie within another one.
    last = max(end for _, end in pieces)
    found.add(item_id, positions[pieces[0][0]], positions[last], label, where)


def _name_events(events: Iterable[_EventLine], found: CharacterEntities) -> None:
    """Make the id of each event a name of its trigger."""
    for event in events:
        if event.event_id in found.index_of:
            raise ValueError(
                f"{event.where}: the id {event.event_id!r} is also the id of another event. "
                "Give each event its own id"
            )
        found.index_of[event.event_id] = found.find(event.trigger, "the trigger", event.where)


def _get_relations(
    lines: Iterable[_RelationLine], found: CharacterEntities
) -> list[RelationIndices]:
    relations = []
    for where, label, arguments in lines:
        (head_role, head_id), (tail_role, tail_id) = arguments
        if not _is_entity(head_id) or not _is_entity(tail_id):
            what = f"{label} ({head_id} -> {tail_id})"
            found.report.drop(Reason.NOT_AN_ENTITY, where, what)
            continue
        head = found.find(head_id, head_role, where)
        tail = found.find(tail_id, tail_role, where)
        relations.append((head, tail, label))
    return relations


def _is_entity(item_id: str) -> bool:
    """Check whether an id names an entity, or an event, which stands for its trigger."""
    return item_id.startswith(("T", "E"))


def _get_arguments(events: Iterable[_EventLine], found: CharacterEntities) -> list[RelationIndices]:
    """Return a relation for each argument of an event, from the trigger to the argument."""
    relations = []
    for event in events:
        trigger = found.find(event.trigger, "the trigger", event.where)
        roles = set(map(operator.itemgetter(0), event.arguments))
        for role, item_id in event.arguments:
            if _is_entity(item_id):
                argument = found.find(item_id, role, event.where)
                relations.append((trigger, argument, _remove_number(role, roles)))
            else:
                what = f"{role} ({event.event_id} -> {item_id})"
                found.report.drop(Reason.NOT_AN_ENTITY, event.where, what)
    return relations


def _remove_number(role: str, roles: Container[str]) -> str:
    """Return a role without the number that brat adds to a repeated role.

    The arguments "Theme:T1 Theme2:T2" have one role, but "Arg1:T1 Arg2:T2" have two.
    """
    match = _NUMBERED_ROLE.fullmatch(role)
    if match and match.group(1) in roles:
        return match.group(1)
    return role


def _count_arguments(events: Iterable[_EventLine], report: ConversionReport) -> None:
    for event in events:
        if event.arguments:
            report.ignored["arguments of events"] += len(event.arguments)


def _write_pair(base: Path, document: BratDocument) -> None:
    """Write the two files of a document into a new folder; `base` is their path without ending."""
    lines = [f"{line}\n" for line in document.lines or []]
    text = document.text
    if text.startswith(BYTE_ORDER_MARK):
        text = BYTE_ORDER_MARK + text  # a mark of its own; otherwise the text would lose its own
    # As bytes: line ends stay as the offsets count them.
    for suffix, content in ((ANNOTATION_SUFFIX, "".join(lines)), (TEXT_SUFFIX, text)):
        with open_new(Path(f"{base}{suffix}")) as file_:
            file_.write(content.encode("utf-8"))


def _render_lines(gold: GoldSpans, where: str) -> list[str]:
    lines = []
    for number, span in enumerate(gold.spans, start=1):
        _check_label(span.label_, where)
        lines.append(f"T{number}\t{span.label_} {_render_pieces(span)}")
    for number, (head, tail, label) in enumerate(gold.relations, start=1):
        _check_label(label, where)
        lines.append(f"R{number}\t{label} {_ROLES[0]}:T{head + 1} {_ROLES[1]}:T{tail + 1}")
    return lines


def _check_label(label: str, where: str) -> None:
    if not label or re.search(r"\s", label):
        raise ValueError(
            f"{where}: brat's labels hold no white space, but one is {label!r}. Rename it"
        )


def _choose_name(gold: GoldSpans, taken: Container[str]) -> str:
    """Return a name for the files of a document, which differs from the taken ones."""
    name = str(gold.orig_id)
    if gold.orig_id is None or not _can_name_file(name):
        name = f"doc{gold.position}"
    while _fold_name(name) in taken:
        name += f"_{gold.position}"
    return name


def _can_name_file(name: str) -> bool:
    """Check whether a name is valid for a file on all systems, and stays in its folder."""
    if not _FILE_NAME.fullmatch(name) or _DEVICES.fullmatch(name):
        return False
    return len(name.encode("utf-8")) <= _MAX_NAME


def _fold_name(name: str) -> str:
    """Return the same value for all names that some file systems do not distinguish."""
    return unicodedata.normalize("NFC", name.casefold())


def _render_pieces(span: Span) -> str:
    """Return the offsets of an entity and its text, in pieces between line breaks."""
    offsets, texts = [], []
    for start, end in _split_at_line_breaks(span.text):
        offsets.append(f"{span.start_char + start} {span.start_char + end}")
        texts.append(" ".join(span.text[start:end].splitlines()))
    quoted = " ".join(texts).replace("\t", " ")
    return f"{';'.join(offsets)}\t{quoted}"


def _split_at_line_breaks(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each piece of an entity's text between line breaks.

    A text that begins or ends with a line break is one piece.
    """
    pieces = [match.span() for match in re.finditer(r"[^\r\n]+", text)]
    if pieces and pieces[0][0] == 0 and pieces[-1][1] == len(text):
        return pieces
    return [(0, len(text))]
