"""Offsets in characters and the tokens of a document: entities whose edges do not fit.

An annotator marks characters, and a component predicts tokens. `align_spans` trims white space from
the edges of an entity. If an edge then lies inside a token, one of three rules applies
(`Alignment`):

    text: "The trial took 24h."   tokens: The | trial | took | 24h | .   marked: "24"
    strict: the entity is left out
    expand: the entity becomes "24h"
    split: the tokens become The | trial | took | 24 | h | .

Offsets that count other units than characters mark the wrong text, so that no rule keeps their
entities: see `find_unit`.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from spacy.tokens import Doc

from .conversion import Alignment, Change, ConversionReport, Reason
from .fields import check_offsets, shorten
from .gold import EntityOffsets

# Maximum number of characters of an entity in a message.
MAX_SHOWN = 80


class CharacterSpan(NamedTuple):
    """An entity as it was marked.

    start (int): Its first character.
    end (int): The character after its last one.
    label (str): Its label.
    where (str): File, line and item, for messages.
    """

    start: int
    end: int
    label: str
    where: str

    def show(self, text: str) -> str:
        """Return a readable form of the entity.

        text (str): The text of the document.
        RETURNS (str): For example "'Rome' (Place, characters 3-7)". A long entity is cut.
        """
        marked = shorten(text[self.start : min(self.end, self.start + MAX_SHOWN + 1)], MAX_SHOWN)
        return f"{marked!r} ({self.label}, characters {self.start}-{self.end})"


class Letters:
    """The characters of a text that are no white space.

    text (str): The text.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def positions(self) -> Sequence[int]:
        """Return the positions of these characters.

        RETURNS (Sequence[int]): The positions, in text order.
        """
        positions = array("q")
        for match in re.finditer(r"\S", self.text):
            positions.append(match.start())
        return positions

    def is_blank(self, start: int, end: int) -> bool:
        """Check whether a part of the text holds only white space.

        start (int): Its first character.
        end (int): The character after its last one.
        RETURNS (bool): True if it holds nothing else.
        """
        if start < end and not self.text[start].isspace():
            return False
        place = bisect_left(self.positions, start)
        return place == len(self.positions) or self.positions[place] >= end

    def trim(self, span: CharacterSpan) -> CharacterSpan:
        """Return an entity without white space at its edges.

        span (CharacterSpan): The entity.
        RETURNS (CharacterSpan): The trimmed entity; an empty one if it holds only white space.
        """
        start, end = span.start, span.end
        if self.is_blank(start, end):
            return span._replace(start=end)
        if self.text[start].isspace():
            start = self.positions[bisect_left(self.positions, start)]
        if self.text[end - 1].isspace():
            end = self.positions[bisect_left(self.positions, end) - 1] + 1
        return span._replace(start=start, end=end)


class _TakenTokens:
    """The tokens at the edges of entities that were widened.

    Two entities with a token but no character in common share a token at their edges. So the entity
    that ends first in a token, and the entity that begins last in it, stand for all others.
    """

    def __init__(self) -> None:
        self._first_end: dict[int, CharacterSpan] = {}
        self._last_start: dict[int, CharacterSpan] = {}

    def add(self, span: CharacterSpan, tokens: EntityOffsets) -> None:
        """Add an entity and the tokens that it touches."""
        start, end, _ = tokens
        other = self._first_end.setdefault(end - 1, span)
        if span.end < other.end:
            self._first_end[end - 1] = span
        other = self._last_start.setdefault(start, span)
        if span.start > other.start:
            self._last_start[start] = span

    def find_rival(self, span: CharacterSpan, tokens: EntityOffsets) -> CharacterSpan | None:
        """Return an entity with some of the same tokens but none of the same characters."""
        start, end, _ = tokens
        before = self._first_end.get(start)
        if before is not None and before.end <= span.start:
            return before
        after = self._last_start.get(end - 1)
        if after is not None and after.start >= span.end:
            return after
        return None


class TokenEdges:
    """The first and last characters of the tokens of a document.

    doc (Doc): The document.
    """

    def __init__(self, doc: Doc) -> None:
        starts, lengths = doc.to_array("IDX"), doc.to_array("LENGTH")
        self.starts: list[int] = starts.tolist()
        self.ends: list[int] = (starts + lengths).tolist()

    def touch(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the tokens that have a character of a span.

        start (int): The first character of the span.
        end (int): The character after its last one.
        RETURNS (tuple[int, int] | None): The first token and the token after the last one; None if
            the span lies between two tokens.
        """
        first = bisect_right(self.ends, start)
        last = bisect_left(self.starts, end)
        if first >= last:
            return None
        return first, last

    def fit(self, start: int, end: int) -> bool:
        """Check whether a span begins and ends with tokens.

        start (int): The first character of the span.
        end (int): The character after its last one.
        RETURNS (bool): True if it does.
        """
        touched = self.touch(start, end)
        if touched is None:
            return False
        first, last = touched
        return self.starts[first] == start and self.ends[last - 1] == end


def check_characters(start: int, end: int, text: str, where: str) -> None:
    """Check that an entity lies in its text.

    start (int): Its first character.
    end (int): The character after its last one.
    text (str): The text.
    where (str): File, line and item, for messages.
    RAISES (ValueError): If the entity is not in the text, or is empty. The message has the advice
        that fits the offsets.
    """
    try:
        check_offsets(start, end, len(text), "characters", where)
    except ValueError as err:
        reason = None
        if 0 <= start < end:
            reason = _find_larger_unit(text, end)
        if reason is None:
            raise
        raise ValueError(f"{err}: {reason.advice}") from err


def align_spans(
    doc: Doc, spans: Mapping[int, CharacterSpan], report: ConversionReport, align: Alignment
) -> tuple[Doc, dict[int, EntityOffsets]]:
    """Find the tokens of entities.

    doc (Doc): The document, without annotation.
    spans (Mapping[int, CharacterSpan]): Its entities by any numbers. Each has a character that is
        no white space, or fits the tokens.
    report (ConversionReport): Counts the changed and the left-out entities.
    align (Alignment): The rule for entities that begin or end inside a token.
    RETURNS (tuple[Doc, dict[int, EntityOffsets]]): The document, with the tokens cut if the rule
        says so, and the kept entities by their numbers.
    RAISES (ValueError): In strict mode.
    """
    text, edges = doc.text, TokenEdges(doc)
    letters = Letters(text)
    kept = _keep_character_units(text, edges, spans, report)
    if not keeps_white_space(report, align):
        kept = _trim_spans(letters, kept, report)
    if align is Alignment.SPLIT:
        doc, edges = _cut_at_edges(doc, edges, kept, report)
    aligned: dict[int, EntityOffsets] = {}
    widened: dict[int, CharacterSpan] = {}
    for index, span in kept.items():
        if edges.fit(span.start, span.end):
            aligned[index] = _get_tokens(edges, span)
        elif align is Alignment.EXPAND:
            widened[index] = span
        else:
            report.drop(_find_misfit(letters, span), span.where, span.show(text))
    aligned.update(_widen(doc, edges, widened, report))
    return doc, aligned


def keeps_white_space(report: ConversionReport, align: Alignment) -> bool:
    """Check whether white space at the edges of entities stays: nothing is changed in strict mode.

    report (ConversionReport): Has the mode.
    align (Alignment): The rule for entities that begin or end inside a token.
    RETURNS (bool): True in strict mode, unless a rule is given that changes entities.
    """
    return report.strict and align is Alignment.STRICT


def find_unit(text: str, edges: TokenEdges, spans: Iterable[CharacterSpan]) -> Reason | None:
    """Find the unit that the offsets of a document count, if it is not characters.

    A unit is found if the offsets do not fit the tokens as characters, and all of them fit the
    tokens if they count this unit. Characters are Unicode's code points: "😀" is one character,
    two units of UTF-16 and four bytes of UTF-8.

    text (str): The text of the document.
    edges (TokenEdges): Its tokens.
    spans (Iterable[CharacterSpan]): The entities of the document.
    RETURNS (Reason | None): The reason that names the unit; None for characters, or if no unit
        fits.
    """
    if text.isascii():
        return None
    spans = list(spans)
    letters = Letters(text)
    misfits = [span for span in spans if not _fits_trimmed(letters, edges, span)]
    if not misfits:
        return None
    for reason in (Reason.UTF16_OFFSETS, Reason.BYTE_OFFSETS):
        positions = _index_units(text, reason)
        if all(_fits_as(span, positions, text, edges) for span in spans):
            return reason
    return None


def _keep_character_units(
    text: str,
    edges: TokenEdges,
    spans: Mapping[int, CharacterSpan],
    report: ConversionReport,
) -> dict[int, CharacterSpan]:
    """Leave out the entities that other units than characters would move."""
    reason = find_unit(text, edges, spans.values())
    if reason is None:
        return dict(spans)
    positions = _index_units(text, reason)
    kept = {}
    for index, span in spans.items():
        if positions[span.end] == span.end:
            kept[index] = span
        else:
            report.drop(reason, span.where, span.show(text))
    return kept


def _index_units(text: str, reason: Reason) -> dict[int, int]:
    """Return the character at each offset that counts a unit."""
    positions = {0: 0}
    offset = 0
    for position, character in enumerate(text, 1):
        offset += _count_units(character, reason)
        positions[offset] = position
    return positions


def _count_units(text: str, reason: Reason) -> int:
    """Count the units of a text that a reason names."""
    if reason is Reason.UTF16_OFFSETS:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


def _find_larger_unit(text: str, end: int) -> Reason | None:
    """Find the unit in which a text is long enough for an offset."""
    for reason in (Reason.UTF16_OFFSETS, Reason.BYTE_OFFSETS):
        if end <= _count_units(text, reason):
            return reason
    return None


def _fits_trimmed(letters: Letters, edges: TokenEdges, span: CharacterSpan) -> bool:
    trimmed = letters.trim(span)
    return edges.fit(span.start, span.end) or edges.fit(trimmed.start, trimmed.end)


def _fits_as(
    span: CharacterSpan, positions: Mapping[int, int], text: str, edges: TokenEdges
) -> bool:
    """Check whether offsets that count a unit mark whole tokens that begin or end with a letter."""
    start, end = positions.get(span.start), positions.get(span.end)
    if start is None or end is None:
        return False
    marked = text[start:end]
    is_word = marked[:1].isalnum() or marked[-1:].isalnum()
    return is_word and edges.fit(start, end)


def _trim_spans(
    letters: Letters, spans: Mapping[int, CharacterSpan], report: ConversionReport
) -> dict[int, CharacterSpan]:
    """Trim the white space at the edges of entities, and count the trimmed ones."""
    trimmed = {}
    for index, span in spans.items():
        trimmed[index] = letters.trim(span)
        if trimmed[index] != span:
            report.change(Change.TRIMMED, span.where, span.show(letters.text))
    return trimmed


def _find_misfit(letters: Letters, span: CharacterSpan) -> Reason:
    """Return the reason why an entity does not fit the tokens."""
    if letters.trim(span) != span:
        return Reason.WHITE_SPACE
    return Reason.UNALIGNED


def _cut_at_edges(
    doc: Doc, edges: TokenEdges, spans: Mapping[int, CharacterSpan], report: ConversionReport
) -> tuple[Doc, TokenEdges]:
    """Cut the tokens of a document at the edges of its entities."""
    text = doc.text
    cuts: set[int] = set()
    for span in spans.values():
        if not edges.fit(span.start, span.end):
            cuts |= {span.start, span.end}
            report.change(Change.CUT, span.where, span.show(text))
    if not cuts:
        return doc, edges
    doc = cut_tokens(doc, cuts)
    return doc, TokenEdges(doc)


def cut_tokens(doc: Doc, cuts: Iterable[int]) -> Doc:
    """Return a document whose tokens end at some characters.

    doc (Doc): The document, without annotation.
    cuts (Iterable[int]): The characters before which a token begins.
    RETURNS (Doc): A document with the same text and user data.
    """
    text = doc.text
    ordered = sorted(cuts)
    words: list[str] = []
    spaces: list[bool] = []
    for token in doc:
        start, end = token.idx, token.idx + len(token)
        inner = ordered[bisect_right(ordered, start) : bisect_left(ordered, end)]
        for left, right in pairwise([start, *inner, end]):
            words.append(text[left:right])
            spaces.append(False)
        spaces[-1] = bool(token.whitespace_)
    return Doc(doc.vocab, words=words, spaces=spaces, user_data=doc.user_data)


def _widen(
    doc: Doc,
    edges: TokenEdges,
    spans: Mapping[int, CharacterSpan],
    report: ConversionReport,
) -> dict[int, EntityOffsets]:
    """Return the whole tokens of entities that end inside tokens.

    Two entities with different characters cannot share a token: the longer one stays.
    """
    text = doc.text
    kept: dict[int, EntityOffsets] = {}
    taken = _TakenTokens()
    for index, span in sorted(spans.items(), key=_longest_first):
        tokens = _get_tokens(edges, span)
        rival = taken.find_rival(span, tokens)
        if rival is None:
            kept[index] = tokens
            taken.add(span, tokens)
            start, end, _ = tokens
            widened = shorten(text[edges.starts[start] : edges.ends[end - 1]], MAX_SHOWN)
            report.change(Change.WIDENED, span.where, f"{span.show(text)} became {widened!r}")
        else:
            report.drop(Reason.SHARED_TOKEN, span.where, span.show(text), rival.show(text))
    return kept


def _longest_first(item: tuple[int, CharacterSpan]) -> tuple[int, int]:
    _, span = item
    return span.start - span.end, span.start


def _get_tokens(edges: TokenEdges, span: CharacterSpan) -> EntityOffsets:
    """Return the tokens of an entity, the tokens at its edges as a whole."""
    start = bisect_right(edges.ends, span.start)
    return start, bisect_left(edges.starts, span.end), span.label
