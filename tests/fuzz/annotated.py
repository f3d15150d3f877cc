"""Small annotated texts, from which the targets make files in their formats."""

from typing import NamedTuple

from hypothesis import strategies as st

# Words with everything that counts differently in code points, UTF-16 units, bytes or tokens.
_WORDS = ["Ann", "lives", "in", "Rome", ".", "24h", "a-b", "Łódź", "👩‍🔬", "𝔸", "e\u0301", "שלום"]
_WORDS += ["\ufeff", "x\ufeff", "\u00a0", "\n", "\r\n", "\t", "\u2028", "\x85", "\x00", "don't"]
_PLAIN_WORDS = ["Ann", "lives", "in", "Rome", "24h", "Łódź"]
WORDS = st.one_of(st.sampled_from(_PLAIN_WORDS), st.sampled_from(_PLAIN_WORDS + _WORDS))
LABELS = st.sampled_from(["PER", "LOC", "Adverse-Effect", "Ort_ü", "x y"])
RELATION_LABELS = st.sampled_from(["LiveIn", "Kill", "part-of"])
ORIG_IDS = st.sampled_from([None, 0, 7, -3, "a", "b-1", "x/y", "17", "../up", "CON", "n" * 260])


class Annotated(NamedTuple):
    """A text with entities and relations.

    words (list[str]): The words, without the spaces between them.
    entities (list[tuple[int, int, str]]): First word, end (exclusive) and label.
    relations (list[tuple[int, int, str]]): Head and tail, as indices of entities, and label.
    orig_id (str | int | None): The id of the document.
    """

    words: list[str]
    entities: list[tuple[int, int, str]]
    relations: list[tuple[int, int, str]]
    orig_id: str | int | None

    @property
    def text(self) -> str:
        """Return the words with spaces between them."""
        return " ".join(self.words)

    def find(self, start: int, end: int) -> tuple[int, int]:
        """Return the first character of an entity, and the character after its last one."""
        first = len(" ".join(self.words[:start])) + (start > 0)
        return first, first + len(" ".join(self.words[start:end]))


@st.composite
def annotated_texts(draw: st.DrawFn) -> Annotated:
    """Make a text; entities may overlap and repeat, relations may be of one entity."""
    words = draw(st.lists(WORDS, min_size=0, max_size=8))
    entities = []
    for _ in range(draw(st.integers(0, 4)) if words else 0):
        start = draw(st.integers(0, len(words) - 1))
        end = draw(st.integers(start + 1, min(start + 3, len(words))))
        entities.append((start, end, draw(LABELS)))
    relations = []
    for _ in range(draw(st.integers(0, 4)) if entities else 0):
        indices = st.integers(0, len(entities) - 1)
        relations.append((draw(indices), draw(indices), draw(RELATION_LABELS)))
    return Annotated(words, entities, relations, draw(ORIG_IDS))


def texts(min_size: int = 1) -> st.SearchStrategy[list[Annotated]]:
    """Make some texts."""
    return st.lists(annotated_texts(), min_size=min_size, max_size=3)
