"""Tokenizers that cut words where entities begin and end.

With `--align split`, tokens are cut at the edges of the gold entities. In prediction these edges
are unknown, so the tokenizer of the pipeline must make the cuts. A cut is described by the kinds of
the characters next to it: in "24h", a digit before and a lower-case letter after. `learn_cuts`
keeps the descriptions that mostly lead to edges of entities. It writes each as a regular expression
for the infixes of spaCy's tokenizer:

    "The trial took 24h."   cut: (?<=[0-9])(?=[a-z])   The | trial | took | 24 | h | .
"""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import spacy
from spacy.lang.char_classes import ALPHA, ALPHA_LOWER, ALPHA_UPPER
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import compile_infix_regex, get_installed_models

from ..files import replace_folder
from .alignment import TokenEdges

# A description of a cut that leads to an edge of an entity less often is not used.
MIN_SHARE = 0.5
# Numbers of characters that describe a cut, before and after it; the shortest that works is used.
_WIDTHS = ((1, 1), (2, 1), (1, 2), (2, 2))
_ESCAPED = frozenset("\\]^-[")

# The classes of the characters before a cut, and after it.
_Cut: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]


class TokenizerFit(NamedTuple):
    """The entities of a corpus that a tokenizer makes impossible to find.

    n_entities (int): Number of entities.
    n_missed (int): Number of entities that begin or end inside a token.
    example (str): The first of them, with its token or tokens; empty if there is none.
    """

    n_entities: int
    n_missed: int
    example: str


@runtime_checkable
class _RuleTokenizer(Protocol):
    """spaCy's tokenizer with rules. Some languages, such as Chinese, have other tokenizers."""

    infix_finditer: Callable[[str], Iterator[re.Match[str]]] | None

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes: ...

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> object: ...


class _Text(NamedTuple):
    """A text with its tokens and entities.

    text (str): The text.
    edges (TokenEdges): The tokens that a tokenizer makes.
    entities (list[tuple[int, int]]): The first characters of entities, and the characters after
        their last ones.
    """

    text: str
    edges: TokenEdges
    entities: list[tuple[int, int]]

    def find_inner(self) -> Iterator[int]:
        """Return the characters at which a token could be cut."""
        for start, end in zip(self.edges.starts, self.edges.ends, strict=True):
            yield from range(start + 1, end)

    def find_edges(self) -> set[int]:
        """Return the characters at which entities begin or end."""
        return set(chain.from_iterable(self.entities))

    def find_held(self) -> set[int]:
        """Return the characters inside entities and at their edges."""
        held: set[int] = set()
        for start, end in self.entities:
            held.update(range(start, end + 1))
        return held

    def is_inside_token(self, position: int) -> bool:
        """Check whether the characters before and after a position are of one token."""
        before = self.edges.touch(position - 1, position)
        return before is not None and before == self.edges.touch(position, position + 1)


def measure_tokenizer(docs: Iterable[Doc], nlp: Language) -> TokenizerFit:
    """Count the entities that begin or end inside the tokens of a pipeline's tokenizer.

    A component predicts tokens. So it cannot find these entities in raw text.

    docs (Iterable[Doc]): Documents with gold entities.
    nlp (Language): The pipeline; its tokenizer splits the texts again.
    RETURNS (TokenizerFit): The numbers, and an example.
    """
    n_entities = n_missed = 0
    example = ""
    for doc in docs:
        text = _tokenise(doc, nlp)
        n_entities += len(text.entities)
        for start, end in text.entities:
            if not text.edges.fit(start, end):
                n_missed += 1
                example = example or _show_misfit(text, start, end)
    return TokenizerFit(n_entities, n_missed, example)


def learn_cuts(docs: Iterable[Doc], nlp: Language, *, min_share: float = MIN_SHARE) -> list[str]:
    """Learn where a tokenizer should cut words, from the edges of gold entities.

    docs (Iterable[Doc]): Documents with gold entities, as many as possible.
    nlp (Language): The pipeline; its tokenizer splits the texts again.
    min_share (float): Minimum share of edges of entities among the cuts of a rule, between 0 and 1.
        Cuts inside entities do not count.
    RETURNS (list[str]): A regular expression for each rule, of no characters, for the infixes of
        spaCy's tokenizer.
    """
    texts = [_tokenise(doc, nlp) for doc in docs]
    rules: dict[_Cut, None] = {}
    for widths in _WIDTHS:
        edges = _count_edges(texts, widths, rules)
        if not edges:
            break
        others = _count_others(texts, widths, edges)
        for cut, count in edges.items():
            if count >= min_share * (count + others[cut]):
                rules[cut] = None
    return list(map(_render_cut, rules))


def extend_tokenizer(nlp: Language, cuts: Sequence[str]) -> Language:
    """Make a pipeline without components whose tokenizer makes additional cuts.

    nlp (Language): The pipeline whose tokenizer is extended; it stays as it is.
    cuts (Sequence[str]): Regular expressions for infixes, as from `learn_cuts`.
    RETURNS (Language): The new pipeline.
    RAISES (ValueError): If the tokenizer has no rules that can be extended.
    """
    tokenizer = _get_rules(nlp)
    config = {"nlp": {"tokenizer": nlp.config["nlp"]["tokenizer"]}}
    extended = spacy.blank(str(nlp.lang), config=config)
    copy = _get_rules(extended)
    copy.from_bytes(tokenizer.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    infixes = [*cuts, *_get_infixes(tokenizer)]
    copy.infix_finditer = compile_infix_regex(infixes).finditer
    return extended


def load_tokenizer(name: str) -> Language:
    """Load a pipeline without its components, for its tokenizer.

    name (str): A language, such as "en", or the name or folder of a pipeline.
    RETURNS (Language): The pipeline.
    RAISES (ImportError): If there is no such language.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If its folder is refused; see `check_folder`.
    """
    if not Path(name).exists() and name not in get_installed_models():
        try:
            return spacy.blank(name)
        except ImportError as err:
            raise ImportError(
                f"{name}: neither a language, such as en, nor an installed pipeline, nor the "
                "folder of one. Check the name or the path"
            ) from err
    if Path(name).is_dir():
        # The check needs torch, and most conversions need no pipeline.
        from ..pipeline.model_folder import check_folder

        check_folder(Path(name))
    names = spacy.load(name, enable=[]).component_names
    return spacy.load(name, exclude=names)


def write_tokenizer(nlp: Language, folder: Path) -> None:
    """Write a pipeline without components to a folder, whole or not at all.

    nlp (Language): The pipeline.
    folder (Path): The folder; made if needed. It is replaced if it holds such a pipeline.
    RAISES (OSError): If it cannot be written; an old one is kept.
    RAISES (ValueError): If it holds something else.
    """
    check_folder(folder)
    with replace_folder(folder) as new:
        nlp.to_disk(new)


def check_folder(folder: Path) -> None:
    """Check that a folder can be replaced by a tokenizer.

    folder (Path): The folder.
    RAISES (ValueError): If it holds anything but a pipeline without components.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() and not _holds_tokenizer(folder):
        raise ValueError(
            f"{folder}: exists and is not a tokenizer that this command wrote. Name a new folder"
        )


def _holds_tokenizer(folder: Path) -> bool:
    if not (folder / "meta.json").is_file():
        return False
    names = {path.name for path in folder.iterdir()}
    return names <= {"config.cfg", "meta.json", "tokenizer", "vocab"}


def _get_rules(nlp: Language) -> _RuleTokenizer:
    """Return the tokenizer of a pipeline, if its rules can be extended."""
    tokenizer: object = nlp.tokenizer
    if not isinstance(tokenizer, _RuleTokenizer):
        raise ValueError(
            f"the tokenizer of the language {nlp.lang!r} is {type(tokenizer).__name__}; "
            "expected spaCy's tokenizer with rules. Convert with --align expand instead"
        )
    return tokenizer


def _get_infixes(tokenizer: _RuleTokenizer) -> list[str]:
    """Return the regular expression for the infixes of a tokenizer, if it has one."""
    pattern = getattr(tokenizer.infix_finditer, "__self__", None)
    if isinstance(pattern, re.Pattern):
        return [pattern.pattern]
    return []


def _tokenise(doc: Doc, nlp: Language) -> _Text:
    entities = [(ent.start_char, ent.end_char) for ent in doc.ents]
    return _Text(doc.text, TokenEdges(nlp.make_doc(doc.text)), entities)


def _show_misfit(text: _Text, start: int, end: int) -> str:
    touched = text.edges.touch(start, end)
    if touched is None:
        return repr(text.text[start:end])
    first, last = touched
    tokens = text.text[text.edges.starts[first] : text.edges.ends[last - 1]]
    return f"{text.text[start:end]!r} in {tokens!r}"


def _count_edges(
    texts: Iterable[_Text], widths: tuple[int, int], rules: Container[_Cut]
) -> Counter[_Cut]:
    """Count the edges of entities inside tokens, by kind, without those that a rule cuts."""
    counts: Counter[_Cut] = Counter()
    for text in texts:
        for position in sorted(text.find_edges()):
            if text.is_inside_token(position) and not _is_made(text, position, rules):
                counts[_describe_cut(text, position, widths)] += 1
    return counts


def _count_others(
    texts: Iterable[_Text], widths: tuple[int, int], kinds: Container[_Cut]
) -> Counter[_Cut]:
    """Count the places of some kinds inside tokens that no entity holds and no entity ends at."""
    counts: Counter[_Cut] = Counter()
    for text in texts:
        held = text.find_held()
        for position in text.find_inner():
            if position not in held:
                cut = _describe_cut(text, position, widths)
                if cut in kinds:
                    counts[cut] += 1
    return counts


def _is_made(text: _Text, position: int, rules: Container[_Cut]) -> bool:
    """Check whether a rule makes a cut."""
    return any(_describe_cut(text, position, widths) in rules for widths in _WIDTHS)


def _describe_cut(text: _Text, position: int, widths: tuple[int, int]) -> _Cut:
    """Return the classes of the characters before and after a cut, up to the ends of its token."""
    before, after = widths
    touched = text.edges.touch(position - 1, position)
    start, end = position - before, position + after
    if touched is not None:
        start = max(start, text.edges.starts[touched[0]])
        end = min(end, text.edges.ends[touched[0]])
    left = tuple(map(_classify, text.text[start:position]))
    right = tuple(map(_classify, text.text[position:end]))
    return left, right


@cache
def _classify(character: str) -> str:
    """Return the class of a character, as in a regular expression between brackets."""
    if character.isdecimal():
        return r"\d"
    if character.islower():
        return ALPHA_LOWER
    if character.isupper():
        return ALPHA_UPPER
    if character.isalpha():
        return ALPHA
    if character in _ESCAPED:
        return f"\\{character}"
    return character


def _render_cut(cut: _Cut) -> str:
    before, after = (f"[{']['.join(classes)}]" for classes in cut)
    return f"(?<={before})(?={after})"
