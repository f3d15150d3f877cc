"""The options of reading annotation files."""

from dataclasses import dataclass
from enum import Enum

from .conversion import Alignment

FIRST_ANNOTATOR = "first"
ALL_ANNOTATORS = "all"
# The name of annotations by annotators that the user did not choose, in reports.
OTHER_ANNOTATORS = "annotations of other annotators"


class Overlap(str, Enum):
    """The entity that stays of overlapping entities."""

    LONGEST = "longest"
    SHORTEST = "shortest"
    FIRST = "first"  # the entity that comes first in the file


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """The choices that a reader of annotation files leaves to its user.

    Each format uses the options that apply to it.

    align (Alignment): The rule for entities that begin or end inside a token. White space at the
        edges of an entity is trimmed, except in strict mode together with the strict rule.
    skip_bad (bool): Leave out malformed records and count them. By default all malformed records of
        a file are reported together in one error.
    overlap (Overlap): The entity that stays of overlapping entities.
    text_field (str | None): The field with the text of a document; found by itself if None. In
        Label Studio's dialogues, "dialogue.utterance" names the field of the task and the field of
        its paragraphs.
    annotator (str): The annotation to read of a text with several annotations: "first" for the
        first one, "all" for each as a document of its own, or else the annotator's id, e-mail
        address or name.
    predictions (bool): Read the prediction of a task without a completed annotation (Label Studio).
    unannotated (bool): Read a task without a completed annotation as a document without annotation,
        for a pool of documents to annotate (Label Studio).
    utf16 (bool): Offsets count UTF-16 code units, as JavaScript does. By default they count code
        points.
    event_arguments (bool): Read the arguments of events as relations of their triggers (brat).
    """

    align: Alignment = Alignment.STRICT
    skip_bad: bool = False
    overlap: Overlap = Overlap.LONGEST
    text_field: str | None = None
    annotator: str = FIRST_ANNOTATOR
    predictions: bool = False
    unannotated: bool = False
    utf16: bool = False
    event_arguments: bool = False


DEFAULT_OPTIONS = ReadingOptions()
