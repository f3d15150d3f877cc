"""What a conversion read, kept and had to leave out."""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Reason(Enum):
    """Why a part of an annotation could not be kept. The value is (what was left out, why)."""

    OVERLAP = ("entity", "overlaps a larger entity")
    DUPLICATE_ENTITY = ("entity", "repeats an entity, which keeps the relations of both")
    UNALIGNED = ("entity", "does not begin and end at token boundaries")
    DISCONTINUOUS = ("entity", "is discontinuous")
    UNLABELLED_ENTITY = ("entity", "has no label")
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
        """RETURNS (str): What was left out: "entity", "relation" or "document"."""
        return self.value[0]

    @property
    def text(self) -> str:
        """RETURNS (str): Why it was left out, to be read after its unit."""
        return self.value[1]


@dataclass
class ConversionReport:
    """Counts of one conversion, in either direction.

    source (str): The file that is read or written, for messages.
    strict (bool): Whether the first problem raises a ValueError.
    n_docs (int): Documents (sentences, in most formats).
    entities (Counter[str]): Entities that were kept, by label.
    relations (Counter[str]): Relations that were kept, by label.
    dropped (Counter[Reason]): What was left out, by reason.
    examples (dict[Reason, str]): For each reason, where it first occurred and what was left out there.
    ignored (Counter[str]): What holds neither entities nor relations to convert (fields, lines, rejected documents),
        with its number. It is no problem in strict mode.
    """

    source: str = "<data>"
    strict: bool = False
    n_docs: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    relations: Counter[str] = field(default_factory=Counter)
    dropped: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def n_entities_read(self) -> int:
        """RETURNS (int): Entities in the input, kept or not."""
        return self.entities.total() + self.n_dropped("entity")

    @property
    def n_relations_read(self) -> int:
        """RETURNS (int): Relations in the input, kept or not."""
        return self.relations.total() + self.n_dropped("relation")

    def n_dropped(self, unit: str) -> int:
        """Count what was left out, for whatever reason.

        unit (str): "entity", "relation" or "document".
        RETURNS (int): How many of these were left out.
        """
        return sum(count for reason, count in self.dropped.items() if reason.unit == unit)

    def drop(self, reason: Reason, where: str, what: str, cause: str = "") -> None:
        """Record one thing that could not be kept.

        reason (Reason): Why.
        where (str): File and sentence or line.
        what (str): The entity or relation, readable.
        cause (str): The other entity that is the reason, if there is one.
        RAISES (ValueError): In strict mode.
        """
        if self.strict:
            raise ValueError(
                f"{where}: {reason.unit} {what} {reason.text}{cause and f': {cause}'}. "
                "Correct the annotation, or convert without strict mode to leave it out"
            )
        self.dropped[reason] += 1
        self.examples.setdefault(reason, f"{where}: {what}{cause and f'; {cause}'}")

    def merge(self, other: "ConversionReport") -> None:
        """Add the counts of another conversion, for several inputs with one output.

        other (ConversionReport): The report to add.
        """
        self.n_docs += other.n_docs
        self.entities.update(other.entities)
        self.relations.update(other.relations)
        self.dropped.update(other.dropped)
        self.ignored.update(other.ignored)
        for reason, example in other.examples.items():
            self.examples.setdefault(reason, example)
