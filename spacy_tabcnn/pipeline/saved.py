"""The files of a component, which are not trusted: each error names its file."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..labels import LabelData, LabelScheme
from ..runtime.plain_data import ADVICE, AdvisedError, check_mapping, read_json
from .training_texts import TextCounts

MAX_BYTES = 2**33  # of a file
Part = Callable[[bytes], None]


def read_parts(folder: str | Path, parts: Mapping[str, Part], exclude: Iterable[str] = ()) -> None:
    """Read the files of a component.

    folder (str | Path): The folder of the component.
    parts (Mapping[str, Callable]): Takes the content of a file, by the name of the file.
    exclude (Iterable[str]): Names of files to leave out.
    RAISES (ValueError): If a file is missing or refused, with its path and the reason.
    """
    left_out = set(exclude)
    for name, load in parts.items():
        if name not in left_out:
            read_part(Path(folder) / name, load)


def read_part(path: Path, load: Part) -> None:
    """Read a file of a component.

    path (Path): The file.
    load (Callable): Takes its content.
    RAISES (ValueError): If it is missing or refused, with its path and the reason.
    """
    try:
        if not path.is_file():
            raise ValueError("no such file")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        content = path.read_bytes()
    except (OSError, ValueError, MemoryError) as err:
        raise ValueError(f"{path}: cannot be read ({err}). {ADVICE}") from err
    try:
        load(content)
    except AdvisedError as err:
        raise ValueError(f"{path}: {err}") from err
    except ValueError as err:
        raise ValueError(f"{path}: {err}. {ADVICE}") from err


def read_labels(value: object) -> LabelData:
    """Read the labels of a component.

    value (object): The labels, as `LabelScheme.to_dict` returned them.
    RETURNS (LabelData): The labels.
    RAISES (ValueError): If they have another form, or a label is there twice.
    """
    labels = LabelScheme.from_dict(check_mapping(value, "'labels'")).to_dict()
    if labels != value:
        raise ValueError(
            f"'labels' is {value!r:.300}; expected each label once, and pairs of types"
        )
    return labels


def read_counts(value: object) -> TextCounts:
    """Read the counts of the texts that a component was trained on.

    value (object): The counts, as `TextCounts._asdict` returned them.
    RETURNS (TextCounts): The counts.
    RAISES (ValueError): If they have another form.
    """
    counts = {}
    for name, number in check_mapping(value, "'trained_on'").items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
            raise ValueError(f"{name!r} of 'trained_on' is {number!r:.100}; expected a count")
        counts[name] = number
    if counts.keys() != set(TextCounts._fields):
        raise ValueError(f"'trained_on' has {sorted(counts)}; expected {[*TextCounts._fields]}")
    return TextCounts(**counts)


def read_settings(content: bytes) -> dict[str, object]:
    """Read the file `cfg` of a component.

    content (bytes): Its content.
    RETURNS (dict[str, object]): The settings.
    RAISES (ValueError): If it is no JSON object.
    """
    return check_mapping(read_json(content), "its content")
