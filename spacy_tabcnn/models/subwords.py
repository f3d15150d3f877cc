"""Texts -> sub-words, and their alignment with words: for a whole batch at once."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from spacy.tokens import Span
from spacy_transformers.data_classes import WordpieceBatch
from thinc.types import Floats2d as ThincFloats2d
from thinc.types import Ints1d as ThincInts1d
from thinc.types import Ints2d as ThincInts2d
from thinc.types import Ragged
from transformers import PreTrainedTokenizerFast

from ..arrays import Ints1d, Ints2d
from ..runtime.plain_data import describe

# transformers does not declare the attributes of its tokenizers where mypy finds them.
FastTokenizer: TypeAlias = Any


class Subwords(WordpieceBatch):
    """The sub-words of a batch of texts.

    The field `strings` of spacy-transformers' class is a property here, made when it is read (mypy
    has no other way to allow that than to ignore it).

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    input_ids (Ints2d): Numbers of the sub-words, int64 (texts, sub-words), padded at the end.
    lengths (Ints1d): Number of sub-words of each text, int64 (texts,).
    """

    def __init__(self, tokenizer: FastTokenizer, input_ids: Ints2d, lengths: Ints1d):
        self._tokenizer = tokenizer
        self.input_ids = cast(ThincInts2d, input_ids)
        self.lengths = lengths.tolist()
        mask = np.arange(input_ids.shape[1]) < lengths[:, None]
        self.attention_mask = cast(ThincFloats2d, mask.astype("float32"))
        self.token_type_ids = None
        if "token_type_ids" in tokenizer.model_input_names:
            self.token_type_ids = cast(ThincInts2d, np.zeros_like(input_ids))

    @cached_property
    def strings(self) -> list[list[str]]:  # type: ignore[override]
        """Return the sub-words as strings, padding included."""
        return [*map(self._tokenizer.convert_ids_to_tokens, self.input_ids.tolist())]

    def __len__(self) -> int:
        return len(self.input_ids)


class Pieces(NamedTuple):
    """The characters of each sub-word of a batch of texts, all texts end to end.

    text (Ints1d): Index of the text of each sub-word, int64 (sub-words,).
    place (Ints1d): Its index in the padded batch, all texts end to end.
    characters (Ints2d): Its first character in its text, and the end (exclusive), (sub-words, 2).
        Both are equal for a sub-word that is not from the text, such as [CLS].
    """

    text: Ints1d
    place: Ints1d
    characters: Ints2d


def is_supported(tokenizer: FastTokenizer) -> bool:
    """Return whether `tokenize` does what the tokenizer does when it is called.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    RETURNS (bool): Whether it does: for a fast tokenizer that pads at the end.
    """
    is_fast = isinstance(tokenizer, PreTrainedTokenizerFast)
    return is_fast and _pads_at_the_end(tokenizer)


def _pads_at_the_end(tokenizer: FastTokenizer) -> bool:
    return tokenizer.padding_side == "right" and tokenizer.pad_token_id is not None


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a ValueError in place of a panic of the tokenizer's Rust code, which is no Exception.

    RAISES (ValueError): If the tokenizer panics.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as err:
        raise ValueError(
            f"the encoder's tokenizer fails on a text ({describe(err)}). Use the tokenizer.json "
            "that belongs to the encoder"
        ) from err


def tokenize(tokenizer: FastTokenizer, texts: list[str]) -> tuple[Subwords, Pieces]:
    """Divide texts into sub-words.

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    texts (list[str]): The texts.
    RETURNS (tuple[Subwords, Pieces]): The sub-words, and their characters.
    RAISES (ValueError): If the tokenizer panics.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    with panics_as_errors():
        encodings = backend.encode_batch(texts)
    lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
    n_pieces, n_columns = int(lengths.sum()), int(lengths.max(initial=0))
    place = np.flatnonzero(np.arange(n_columns) < lengths[:, None])
    ids = np.full((len(texts), n_columns), tokenizer.pad_token_id)
    numbers = chain.from_iterable(map(attrgetter("ids"), encodings))
    ids.ravel()[place] = np.fromiter(numbers, np.int64, n_pieces)
    bounds = chain.from_iterable(map(attrgetter("offsets"), encodings))
    characters = np.fromiter(chain.from_iterable(bounds), np.int64, 2 * n_pieces).reshape(-1, 2)
    text = np.repeat(np.arange(len(texts)), lengths)
    return Subwords(tokenizer, ids, lengths), Pieces(text, place, characters)


def tokenize_spans(
    tokenizer: FastTokenizer, spans: list[list[Span]]
) -> tuple[list[list[Span]], list[str], Subwords, Pieces]:
    """Divide spans into sub-words, and a span of more sub-words than the encoder reads in halves.

    tokenizer (PreTrainedTokenizerFast): The tokenizer; its `model_max_length` is the limit.
    spans (list[list[Span]]): The spans of each document.
    RETURNS (tuple): The spans of each document, of which only a single word can still be too long;
        the texts of all spans, the sub-words, and their characters.
    """
    while True:
        texts = [span.text for span in chain.from_iterable(spans)]
        subwords, pieces = tokenize(tokenizer, texts)
        is_long = [n_subwords > tokenizer.model_max_length for n_subwords in subwords.lengths]
        if not any(is_long):
            return spans, texts, subwords, pieces
        halved = _halve(spans, is_long)
        if sum(map(len, halved)) == len(texts):
            _warn_of_cut(texts[is_long.index(True)], tokenizer.model_max_length)
            return spans, texts, subwords, pieces
        spans = halved


def _halve(spans: list[list[Span]], is_long: Iterable[bool]) -> list[list[Span]]:
    """Divide the long spans of two words or more."""
    flags = iter(is_long)
    halved = []
    for spans_of_doc in spans:
        parts = []
        for span in spans_of_doc:
            middle = len(span) // 2
            if next(flags) and middle:
                parts += [span[:middle], span[middle:]]
            else:
                parts.append(span)
        halved.append(parts)
    return halved


def _warn_of_cut(word: str, limit: int) -> None:
    warnings.warn(
        f"The encoder reads {limit} sub-words at once. A longer word is read in part: {word:.50}",
        stacklevel=2,
    )


def align(spans: Sequence[Sequence[Span]], texts: Sequence[str], pieces: Pieces) -> Ragged:
    """Find the sub-words of each word: those with a character of it or of the space behind it.

    The result has a row for each word of the documents of the spans. A word in several spans has
    the sub-words of all of them.

    spans (Sequence[Sequence[Span]]): The spans of each document.
    texts (Sequence[str]): The texts of all spans.
    pieces (Pieces): The sub-words of the texts.
    RETURNS (Ragged): Places of sub-words, as in `Pieces.place`, ragged by word.
    """
    words = _Words.of(spans, texts)
    is_from_text = pieces.characters[:, 0] < pieces.characters[:, 1]
    first = words.text_start[pieces.text[is_from_text]]
    begin, end = (first[:, None] + pieces.characters[is_from_text]).T
    # A word, with the space behind it, ends where the next one begins.
    first_word = np.searchsorted(words.start, begin, side="right") - 1
    last_word = np.searchsorted(words.start, end - 1, side="right") - 1
    n_words = last_word - first_word + 1
    place = np.repeat(pieces.place[is_from_text], n_words)
    n_before = np.arange(len(place)) - np.repeat(n_words.cumsum() - n_words, n_words)
    word = words.number[np.repeat(first_word, n_words) + n_before]
    order = np.lexsort((place, word))
    lengths = np.bincount(word, minlength=words.n_words)
    return Ragged(
        cast(ThincInts1d, place[order].astype("int32")), cast(ThincInts1d, lengths.astype("int32"))
    )


class _Words(NamedTuple):
    """The words of spans, all spans end to end.

    start (Ints1d): Place of the first character of each word in the texts of the spans end to end.
    number (Ints1d): Number of each word among the words of the documents end to end.
    text_start (Ints1d): Place of the first character of each span.
    n_words (int): Number of words of the documents.
    """

    start: Ints1d
    number: Ints1d
    text_start: Ints1d
    n_words: int

    @classmethod
    def of(cls, spans: Sequence[Sequence[Span]], texts: Sequence[str]) -> "_Words":
        starts, indices, text_starts = [], [], []
        n_words = n_characters = 0
        next_text = iter(texts)
        for spans_of_doc in filter(None, spans):
            doc = spans_of_doc[0].doc
            start_in_doc = doc.to_array(["IDX"]).astype(np.int64)
            for span in spans_of_doc:
                start = start_in_doc[span.start : span.end]
                starts.append(start - start[0] + n_characters)
                indices.append(np.arange(n_words + span.start, n_words + span.end))
                text_starts.append(n_characters)
                n_characters += len(next(next_text))
            n_words += len(doc)
        return cls(np.concatenate(starts), np.concatenate(indices), np.array(text_starts), n_words)
