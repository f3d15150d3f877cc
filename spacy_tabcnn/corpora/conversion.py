"""The report of a conversion: counts of the parts that were read, kept and left out."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Reason(Enum):
    """A reason for leaving out a part of an annotation. The value is (kind of part, reason)."""

    OVERLAP = ("entity", "overlaps a larger entity")
    OVERLAP_SMALLER = ("entity", "overlaps a smaller entity")
    OVERLAP_EARLIER = ("entity", "overlaps an entity that comes earlier in the file")
    DUPLICATE_ENTITY = ("entity", "repeats an entity, which keeps the relations of both")
    UNALIGNED = ("entity", "does not begin and end at token boundaries")
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
            raise LeftOutError(
                f"{problem}. Correct the annotation, or convert without strict mode to leave it out"
            )
        example = f"{where}: {what}"
        if cause:
            example += f"; {cause}"
        self.dropped[reason] += 1
        self.examples.setdefault(reason, example)

    def merge(self, other: "ConversionReport") -> None:
        """Add the counts of another conversion: of a record, or of another input.

        other (ConversionReport): The report to add.
        """
        self.n_docs += other.n_docs
        self.entities.update(other.entities)
        self.relations.update(other.relations)
        self.dropped.update(other.dropped)
        self.ignored.update(other.ignored)
        self.noted.update(other.noted)
        self.bad_records += other.bad_records
        for reason, example in other.examples.items():
            self.examples.setdefault(reason, example)
