"""The report of a conversion: counts of the parts that were read, kept and left out."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Alignment(str, Enum):
    """The rule for an entity that begins or ends inside a token."""

    STRICT = "strict"  # it is left out
    EXPAND = "expand"  # it is widened to whole tokens
    SPLIT = "split"  # the tokens are cut at its edges


class Change(Enum):
    """A change of a kept part of an annotation. The value is (kind of part, change)."""

    TRIMMED = ("entity", "lost the white space at its edges")
    WIDENED = ("entity", "was widened to whole tokens")
    CUT = ("entity", "had the tokens cut at its edges")

    @property
    def unit(self) -> str:
        """Return the kind of the changed part.

        RETURNS (str): "entity".
        """
        return self.value[0]

    @property
    def text(self) -> str:
        """Return the change in words.

        RETURNS (str): The rest of a sentence that begins with the unit.
        """
        return self.value[1]


class Reason(Enum):
    """A reason for leaving out a part of an annotation. The value is (kind of part, reason)."""

    OVERLAP = ("entity", "overlaps a larger entity")
    OVERLAP_SMALLER = ("entity", "overlaps a smaller entity")
    OVERLAP_EARLIER = ("entity", "overlaps an entity that comes earlier in the file")
    DUPLICATE_ENTITY = ("entity", "repeats an entity, which keeps the relations of both")
    UNALIGNED = ("entity", "does not begin and end at token boundaries")
    WHITE_SPACE = ("entity", "begins or ends with white space")
    BLANK_ENTITY = ("entity", "holds only white space")
    SHARED_TOKEN = ("entity", "lies in the same token as another entity")
    UTF16_OFFSETS = ("entity", "has offsets that look like UTF-16 units instead of characters")
    BYTE_OFFSETS = ("entity", "has offsets that look like bytes instead of characters")
    DISCONTINUOUS = ("entity", "is discontinuous")
    UNLABELLED_ENTITY = ("entity", "has no label")
    NOT_IN_TEXT = ("entity", "marks no characters of the text")
    OTHER_TEXT = ("entity", "marks another text of its task")
    ENTITY_ACROSS_SENTENCES = ("entity", "crosses the border of a sentence")
    LOST_ARGUMENT = ("relation", "has an entity that was left out")
    NOT_AN_ENTITY = ("relation", "has an argument that is no entity of the document")
    UNLABELLED_RELATION = ("relation", "has no label")
    SELF_RELATION = ("relation", "joins an entity with itself")
    DUPLICATE_RELATION = ("relation", "repeats a relation")
    RELATION_ACROSS_SENTENCES = ("relation", "joins entities of two sentences")
    NO_ENTITY_ANNOTATION = ("document", "has no annotation of entities; written as holding none")
    PARTIAL_ENTITY_ANNOTATION = (
        "document",
        "has words whose entities are not annotated; written as words of no entity",
    )
    NO_RELATION_ANNOTATION = ("document", "has no annotation of relations; written as holding none")

    @property
    def unit(self) -> str:
        """Return the kind of the left-out part.

        RETURNS (str): "entity", "relation" or "document".
        """
        return self.value[0]

    @property
    def text(self) -> str:
        """Return the reason in words.

        RETURNS (str): The rest of a sentence that begins with the unit.
        """
        return self.value[1]

    @property
    def advice(self) -> str:
        """Return how to keep such parts.

        RETURNS (str): One or two sentences without the full stop at the end; empty if the reason
            explains itself.
        """
        return _ADVICE.get(self, "")


_ADVICE = {
    Reason.UNALIGNED: (
        "An edge lies inside a token. Keep such entities with --align expand (whole tokens) or "
        "--align split (tokens are cut), or tokenise with --lang or --model. If the edge is "
        "wrong, correct the annotation"
    ),
    Reason.WHITE_SPACE: (
        "Mark the words without the white space around them, or give --align: it trims the "
        "white space"
    ),
    Reason.BLANK_ENTITY: "Delete it, or mark the words that are meant",
    Reason.SHARED_TOKEN: (
        "Keep both with --align split, which cuts tokens, or tokenise with --lang or --model"
    ),
    Reason.UTF16_OFFSETS: (
        "JavaScript, Java and C# count so: a character beyond U+FFFF, such as an emoji, counts as "
        "two. Read the file with --utf16"
    ),
    Reason.BYTE_OFFSETS: (
        "Each character beyond ASCII counts as two to four bytes. Count code points instead, as "
        "Python does in a str"
    ),
}


class LeftOutError(ValueError):
    """A part of an annotation that cannot be kept, in strict mode."""


@dataclass
class ConversionReport:
    """Counts of one conversion, in either direction.

    source (str): The file that is read or written, for messages.
    strict (bool): Whether the first problem raises a ValueError.
    n_docs (int): Number of documents (in most formats sentences).
    entities (Counter[str]): Number of kept entities by label.
    relations (Counter[str]): Number of kept relations by label.
    dropped (Counter[Reason]): Number of left-out parts by reason.
    examples (dict[Reason, str]): For each reason the first left-out part, with its place.
    changed (Counter[Change]): Number of kept parts that were changed, by change.
    change_examples (dict[Change, str]): For each change the first changed part, with its place.
    ignored (Counter[str]): Numbers of fields, lines and documents that hold no entities or
        relations to convert, or were rejected, by name. They are no problem in strict mode.
    noted (Counter[str]): Numbers of documents and parts that were read in a way worth knowing, by
        name. They are no problem in strict mode.
    bad_records (list[str]): The problem of each malformed record that was left out, with its place.
    """

    source: str = "<data>"
    strict: bool = False
    n_docs: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    dropped: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, str] = field(default_factory=dict)
    changed: Counter[Change] = field(default_factory=Counter)
    change_examples: dict[Change, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    bad_records: list[str] = field(default_factory=list)

    @property
    def n_entities_read(self) -> int:
        """Return the number of entities that were read.

        RETURNS (int): The number of kept and left-out entities.
        """
        return self.entities.total() + self.n_dropped("entity")

    @property
    def n_relations_read(self) -> int:
        """Return the number of relations that were read.

        RETURNS (int): The number of kept and left-out relations.
        """
        return self.relations.total() + self.n_dropped("relation")

    def n_dropped(self, unit: str) -> int:
        """Return the number of left-out parts of one kind, for any reason.

        unit (str): "entity", "relation" or "document".
        RETURNS (int): The number of left-out parts.
        """
        return sum(count for reason, count in self.dropped.items() if reason.unit == unit)

    def drop(self, reason: Reason, where: str, what: str, cause: str = "") -> None:
        """Count a part that cannot be kept.

        reason (Reason): The reason.
        where (str): File and sentence or line.
        what (str): A readable form of the entity or relation.
        cause (str): The other entity that is the reason, if there is one.
        RAISES (LeftOutError): In strict mode. It is a ValueError.
        """
        if self.strict:
            problem = f"{where}: {reason.unit} {what} {reason.text}"
            if cause:
                problem += f": {cause}"
            advice = reason.advice or "Correct the annotation"
            raise LeftOutError(
                f"{problem}. {advice}, or convert without strict mode to leave it out"
            )
        example = f"{where}: {what}"
        if cause:
            example += f"; {cause}"
        self.dropped[reason] += 1
        self.examples.setdefault(reason, example)

    def change(self, change: Change, where: str, what: str) -> None:
        """Count a part that is kept with a change.

        change (Change): The change.
        where (str): File and sentence or line.
        what (str): A readable form of the entity as it was.
        """
        self.changed[change] += 1
        self.change_examples.setdefault(change, f"{where}: {what}")

    def merge(self, other: "ConversionReport") -> None:
        """Add the counts of another conversion: of a record, or of another input.

        other (ConversionReport): The report to add.
        """
        self.n_docs += other.n_docs
        self.entities.update(other.entities)
        self.relations.update(other.relations)
        self.dropped.update(other.dropped)
        self.changed.update(other.changed)
        self.ignored.update(other.ignored)
        self.noted.update(other.noted)
        self.bad_records += other.bad_records
        for reason, example in other.examples.items():
            self.examples.setdefault(reason, example)
        for change, example in other.change_examples.items():
            self.change_examples.setdefault(change, example)
