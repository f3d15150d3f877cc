"""Model directories: parts of harmless ones, with odd values and damage."""

import atexit
import functools
import json
import math
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import srsly
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from thinc.api import Config

from spacy_tabcnn.pipeline.loading import load_pipeline
from tests.hostile.bases import TEXT, save_bases
from tests.hostile.child import Watch

from ..campaign import find_origin
from ..target import READ, REFUSED, Files, Finding, Target, write_files

BASE = "base"  # the name of the harmless directory, a part of an input
_ODD: list[Any] = [None, True, False, 0, 1, -1, 5, 2**31, 2**63 - 1, 10**6, 0.5, -1e300]
_ODD += ["", "x", "../../x", "/tmp/x", "\0", "(a+)+$", "evil.Evil", "labels", "ü" * 1000]
_ODD += [
    b"",
    b"x",
    b"\xff\xfe",
    b"PK\x03\x04",
    b"\xdd\xff\xff\xff\xff",
    [],
    [1],
    [[]],
    {},
    {"a": 1},
]
_NAMES = ["trust_remote_code", "auto_map", "evil.py", "../x", "source", "@readers", "@misc", "x"]


@functools.cache
def _bases() -> dict[str, Path]:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save_bases(folder)


@functools.cache
def _watch() -> Watch:
    return Watch(tempfile.gettempdir())


@st.composite
def _inputs(draw: st.DrawFn) -> Files:
    name = draw(st.sampled_from(sorted(_bases())))
    base = _bases()[name]
    paths = [path for path in sorted(base.rglob("*")) if path.is_file()]
    files = {BASE: name.encode()}
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(paths))
        relative = path.relative_to(base).as_posix()
        content = files.get(relative, path.read_bytes())
        files[relative] = _mutate(draw, relative, content)
    return files


def _mutate(draw: st.DrawFn, name: str, content: bytes) -> bytes:
    """Change the structure of a file, or, one time in three, its bytes."""
    if draw(st.integers(0, 2)) == 0:
        return _damage(draw, content)
    try:
        if name == "config.cfg":
            config = Config().from_bytes(content, interpolate=False)
            return Config(_change(draw, dict(config))).to_bytes(interpolate=False)
        if content[:1] in b"{[":
            return json.dumps(_change(draw, json.loads(content)), default=str).encode()
        return srsly.msgpack_dumps(_change(draw, srsly.msgpack_loads(content)))
    except Exception as err:  # of content that is damaged, or a value that the format cannot hold
        if isinstance(err, HypothesisException):
            raise
        return _damage(draw, content)


def _change(draw: st.DrawFn, value: Any) -> Any:
    """Change a value somewhere inside a value."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(list(value)))
        action = draw(st.integers(0, 11))
        if action == 0:
            del value[key]
        elif action == 1:
            value[draw(st.sampled_from(_NAMES))] = draw(st.sampled_from(_ODD))
        else:
            value[key] = _change(draw, value[key])
        return value
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        index = draw(st.integers(0, len(value) - 1))
        action = draw(st.integers(0, 11))
        if action == 0:
            del value[index]
        elif action == 1:
            value.append(value[index])
        else:
            value[index] = _change(draw, value[index])
        return value
    if isinstance(value, bytes) and len(value) > 1 and draw(st.integers(0, 3)):
        return _change_bytes(draw, value)
    return draw(st.sampled_from(_ODD))


def _change_bytes(draw: st.DrawFn, value: bytes) -> bytes:
    """Change bytes that hold another format: weights, a module, a file of a tokenizer."""
    changes: list[Callable[[st.DrawFn, bytes], bytes]] = [_damage]
    if len(value) > 8 and struct.unpack("<Q", value[:8])[0] < len(value):
        changes = [_change_header, _damage]
    elif value[:1] in b"{[":
        changes = [lambda draw, text: json.dumps(_change(draw, json.loads(text))).encode()]
    else:
        changes.append(
            lambda draw, data: srsly.msgpack_dumps(_change(draw, srsly.msgpack_loads(data)))
        )
    try:
        return draw(st.sampled_from(changes))(draw, value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return _damage(draw, value)


def _change_header(draw: st.DrawFn, state: bytes) -> bytes:
    length = struct.unpack("<Q", state[:8])[0]
    header = json.dumps(_change(draw, json.loads(state[8 : 8 + length])), default=str).encode()
    return struct.pack("<Q", len(header)) + header + state[8 + length :]


def _damage(draw: st.DrawFn, content: bytes) -> bytes:
    if not content:
        return draw(st.sampled_from([b"\0", b"\xff" * 100, b"{}"]))
    position = draw(st.integers(0, len(content) - 1))
    part = draw(st.sampled_from([b"", b"\0", b"\xff", b"\xdd\xff\xff\xff\xff", b'"', b"9" * 5000]))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return content[:position]
    if kind == 1:
        return content[:position] + part + content[position + 1 :]
    if kind == 2:
        return content[:position] + content[position:] * 2
    return content[:position] + part + content[position:]


def _check(files: Files, folder: Path) -> str:
    changed = dict(files)
    model = folder / "model"
    shutil.copytree(_bases()[changed.pop(BASE).decode()], model)
    write_files(changed, model)
    watch = _watch()
    watch.seen = []
    watch.is_on = True
    try:
        return _load(model)
    finally:
        watch.is_on = False
        if watch.seen:
            raise Finding("seen", "; ".join(watch.seen))


def _load(model: Path) -> str:
    try:
        nlp = load_pipeline(model)
    except (ValueError, OSError) as err:
        if str(model) not in str(err):
            raise Finding(f"no file in the message: {find_origin(err)}", str(err)) from err
        return REFUSED
    for doc in nlp.pipe([TEXT, "", "Ada"]):
        for relation in doc._.relations:
            if not math.isfinite(relation.score):
                raise Finding("score", f"a score is {relation.score}")
    return READ


TARGET = Target(_inputs(), _check, seconds=30.0, megabytes=1000, n_short=30)
