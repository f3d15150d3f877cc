"""Plain data about a document in `doc.user_data`, which follows the characters of the text.

The data of a document is stored under the key of a span over all its words, ("._.", name, first
character, end). spaCy takes it for an extension attribute of this span and moves the offsets in the
key where it makes new documents:

    Doc.from_docs([one, two])               one: (0, 21)    two: (22, 40)
    two[2:].as_doc(copy_user_data=True)     two: (-8, 10)   its first two words are cut off

So the key tells the place of the data in the present document. Spans in the data are stored with
their words and their characters, counted from the place. Merging or splitting words changes the
indices of words and leaves the characters as they are.
"""

import zlib
from collections.abc import Hashable, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias, TypeGuard, cast

from spacy.tokens import Doc, Span

# A list, or a tuple after it was read from a file: first word, end, first character, end, label and
# text of a span.
PackedSpan: TypeAlias = Sequence[Any]
# The beginning of a text, the checksum of the text, and the checksum of its words.
Fingerprint: TypeAlias = Sequence[str | int]

_BEGINNING = 40  # characters


class Place(NamedTuple):
    """Stored data, and the characters of the present document to which it belongs.

    start (int): First character; negative if words before it were cut off.
    end (int): End, exclusive; behind the end of the document if words after it were cut off.
    data (Any): The stored data.
    """

    start: int
    end: int
    data: Any


def store(doc: Doc, name: str, data: object) -> None:
    """Store data about a document, in place of earlier data of the same name.

    doc (Doc): The document.
    name (str): Name of the data.
    data (object): Lists of numbers and strings.
    """
    user_data = get_user_data(doc)
    for key in _find_keys(doc, name):
        del user_data[key]
    user_data["._.", name, 0, count_characters(doc)] = data


def find_places(doc: Doc, name: str) -> list[Place]:
    """Find the data that is stored under a name.

    doc (Doc): The document.
    name (str): Name of the data.
    RETURNS (list[Place]): The data in text order. There is one place if the data was stored for
        this document, and one for each part if the document was made of several others.
    """
    user_data = get_user_data(doc)
    end = count_characters(doc)
    data = user_data.get(("._.", name, 0, end))
    if data is not None:
        return [Place(0, end, data)]
    places = []
    for key in _find_keys(doc, name):
        places.append(Place(key[2], key[3], user_data[key]))
    return sorted(places, key=itemgetter(0, 1))


def is_complete(doc: Doc, places: Sequence[Place]) -> bool:
    """Check whether data is stored for all words of a document.

    doc (Doc): The document.
    places (Sequence[Place]): The output of `find_places`.
    RETURNS (bool): True if there is data, and no word lies outside all places, except white space.
    """
    if not places:
        return False
    text = doc.text
    n_seen = 0
    for place in places:
        if text[n_seen : max(place.start, 0)].strip():
            return False
        n_seen = max(n_seen, place.end)
    return not text[n_seen:].strip()


def has_overlap(places: Sequence[Place]) -> bool:
    """Check whether places overlap, as they may if parts of documents were joined.

    places (Sequence[Place]): The output of `find_places`.
    RETURNS (bool): True if a place begins before the place in front of it ends.
    """
    return any(right.start < left.end for left, right in pairwise(places))


def take_fingerprint(doc: Doc) -> Fingerprint:
    """Return a value by which the text and the words of a document are known again.

    doc (Doc): The document.
    RETURNS (Fingerprint): The value, for `has_same_words` and `has_same_text`.
    """
    text = doc.text[: count_characters(doc)]
    return [text[:_BEGINNING], _checksum_text(text), _checksum_words(doc)]


def has_same_words(doc: Doc, place: Place, fingerprint: Fingerprint) -> bool:
    """Check whether a document has the words for which data was stored.

    doc (Doc): The document.
    place (Place): The place of the data.
    fingerprint (Fingerprint): The fingerprint of the document at that time.
    RETURNS (bool): False if words were merged, split, added, left out or replaced.
    """
    is_in_place = (place.start, place.end) == (0, count_characters(doc))
    return is_in_place and _checksum_words(doc) == fingerprint[2]


def has_same_text(text: str, place: Place, fingerprint: Fingerprint) -> bool:
    """Check whether the characters of a place are the text for which its data was stored.

    text (str): The text of the whole document.
    place (Place): The place.
    fingerprint (Fingerprint): The fingerprint of the document at that time.
    RETURNS (bool): False if they differ. True if the beginning was cut off, since nothing is known
        about the text then.
    """
    beginning, checksum, _ = fingerprint
    if place.start < 0:
        return True
    if place.end <= len(text):
        return _checksum_text(text[place.start : place.end]) == checksum
    rest = text[place.start : place.start + _BEGINNING].rstrip()
    return str(beginning).startswith(rest)


def pack_span(span: Span) -> PackedSpan:
    """Return the stored form of a span.

    span (Span): The span.
    RETURNS (PackedSpan): A plain list.
    """
    return [span.start, span.end, span.start_char, span.end_char, span.label_, span.text]


def is_packed_span(value: object) -> TypeGuard[PackedSpan]:
    """Check whether a value has the form of the output of `pack_span`.

    value (object): The value.
    RETURNS (bool): True if it has.
    """
    return _has_types(value, (int, int, int, int, str, str))


def is_fingerprint(value: object) -> TypeGuard[Fingerprint]:
    """Check whether a value has the form of the output of `take_fingerprint`.

    value (object): The value.
    RETURNS (bool): True if it has.
    """
    return _has_types(value, (str, int, int))


def is_cut_off(doc: Doc, packed: PackedSpan, place: Place) -> bool:
    """Check whether a stored span lies outside the document, fully or in part.

    doc (Doc): The document.
    packed (PackedSpan): The stored form of the span.
    place (Place): The place of the data that contains it.
    RETURNS (bool): True if it does.
    """
    start, end = packed[2:4]
    return start + place.start < 0 or end + place.start > count_characters(doc)


def find_span(doc: Doc, packed: PackedSpan, place: Place) -> Span:
    """Find the words of a stored span by its characters.

    doc (Doc): The document.
    packed (PackedSpan): The stored form of the span, which is not cut off.
    place (Place): The place of the data that contains it.
    RETURNS (Span): The span.
    RAISES (LookupError): If the document has other characters there.
    RAISES (ValueError): If it begins or ends inside a word.
    """
    _, _, start, end, label, text = packed
    start, end = start + place.start, end + place.start
    span = doc.char_span(start, end, label=label)
    if span is None:
        covered = doc.char_span(start, end, alignment_mode="expand")
        raise ValueError(f"{text!r} begins or ends inside a word of {str(covered)!r}")
    if span.text != text:
        raise LookupError(f"{span.text!r} is in the place of {text!r}")
    return span


def get_user_data(doc: Doc) -> dict[Hashable, object]:
    """Return the user data of a document.

    doc (Doc): The document.
    RETURNS (dict[Hashable, object]): `doc.user_data`.
    """
    # spaCy's annotation allows only strings as keys, while its extension attributes have tuples.
    return cast("dict[Hashable, object]", doc.user_data)


def count_characters(doc: Doc) -> int:
    """Count the characters of a document, without the space after the last word.

    doc (Doc): The document.
    RETURNS (int): The end of the last word.
    """
    if not len(doc):
        return 0
    last = doc[-1]
    return last.idx + len(last)


def _has_types(value: object, types: Sequence[type]) -> bool:
    if not isinstance(value, list | tuple) or len(value) != len(types):
        return False
    return all(map(isinstance, value, types))


def _find_keys(doc: Doc, name: str) -> list[tuple[str, str, int, int]]:
    keys = []
    for key in get_user_data(doc):
        if isinstance(key, tuple) and key[:2] == ("._.", name):
            if not _has_types(key, (str, str, int, int)):
                raise ValueError(
                    f"doc.user_data: the key {key!r} has not the form that this package writes. "
                    "Delete it, and set doc._.relations again"
                )
            keys.append(key)
    return keys


def _checksum_text(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _checksum_words(doc: Doc) -> int:
    return zlib.crc32(doc.to_array("ORTH").tobytes())
