"""brat's standoff."""

from pathlib import Path

from hypothesis import strategies as st

from ..annotated import Annotated, texts
from ..json_inputs import odd_bytes
from ..readers import Counts, check_reader, with_options
from ..target import Files, Target

_ODD_PARTS = ["", " ", "\t", "T1", "T99", "R1", "E1", "0", "-1", "5", "999999", "1" + "0" * 5000]
_ODD_PARTS += ["0;5", "5 0", "0 5;5 7", "Arg1:T1", "Arg1:R1", "x" * 300, "\ufeff", "\x00", "#", "*"]
_ODD_PARTS += ["٣", "²", "1e5", "0x1", "+1", ":", "::", "T", "\x85", "\u2028", "\x1c"]
_ENDS = ["\n", "\n", "\n", "\r\n", "\r"]


@st.composite
def _inputs(draw) -> Files:
    files = {}
    for number, text in enumerate(draw(texts())):
        name = draw(st.sampled_from([f"d{number}", f"sub/d{number}", f"ü{number}"]))
        content = draw(st.sampled_from(["", "", "\ufeff"])) + text.text
        lines = [_mutate(draw, line) for line in _make_lines(draw, text)]
        end = draw(st.sampled_from(_ENDS))
        ann = "".join(line + end for line in lines)
        encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "latin-1"]))
        files[f"{name}.txt"] = draw(odd_bytes(content.encode("utf-8", "surrogatepass")))
        files[f"{name}.ann"] = draw(odd_bytes(ann.encode(encoding, "replace")))
        if draw(st.integers(0, 30)) == 0:
            del files[draw(st.sampled_from([f"{name}.txt", f"{name}.ann"]))]
    return files


def _make_lines(draw, text: Annotated) -> list[str]:
    lines = []
    for index, (start, end, label) in enumerate(text.entities):
        first, last = text.find(start, end)
        quoted = " ".join(text.text[first:last].split("\n")).replace("\r", " ").replace("\t", " ")
        offsets = f"{first} {last}"
        if last - first > 2 and draw(st.integers(0, 9)) == 0:
            offsets = f"{first} {first + 1};{first + 1} {last}"
        lines.append(f"T{index}\t{label} {offsets}\t{quoted}")
    for index, (head, tail, label) in enumerate(text.relations):
        kind = draw(st.sampled_from(["R", "R", "R", "E", "*", "A"]))
        if kind == "R":
            lines.append(f"R{index}\t{label} Arg1:T{head} Arg2:T{tail}")
        elif kind == "E":
            lines.append(f"E{index}\t{label}:T{head} Role:T{tail}")
        elif kind == "*":
            lines.append(f"*\tEquiv T{head} T{tail}")
        else:
            lines.append(f"A{index}\tNegation T{head}")
    return draw(st.permutations(lines))


def _mutate(draw, line: str) -> str:
    """Replace, one time in twelve, a part of a line."""
    if draw(st.integers(0, 11)):
        return line
    for separator in draw(st.sampled_from(["\t", " ", ":", ";"])):
        parts = line.split(separator)
        position = draw(st.integers(0, len(parts) - 1))
        parts[position] = draw(st.sampled_from(_ODD_PARTS))
        line = separator.join(parts)
    return line


def _count(path: Path, options) -> Counts:
    if options.skip_bad or path.is_file():
        return Counts(None, None, None)
    n_docs = n_entities = n_relations = 0
    for ann in path.rglob("*.ann"):
        n_docs += 1
        for line in ann.read_bytes().decode("utf-8").removeprefix("\ufeff").split("\n"):
            n_entities += line.startswith("T")
            n_relations += line.startswith("R")
            if line.startswith("E") and options.event_arguments:
                n_relations += len(line.split()) - 2
    return Counts(n_docs, n_entities, n_relations)


def _check(files: Files, folder: Path) -> str:
    return check_reader("brat", files, folder, _count)


TARGET = Target(with_options(_inputs()), _check)
