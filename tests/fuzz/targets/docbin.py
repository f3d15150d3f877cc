""".spacy files: msgpack inside zlib, with the messages of relations inside the message."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import srsly
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span

from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.corpora.formats import FORMATS
from spacy_tabcnn.relations import set_entity_scores, set_relations

from ..annotated import Annotated, texts
from ..json_inputs import odd_bytes
from ..readers import NLP, check_docbin, check_message, check_written
from ..target import READ, REFUSED, Files, Finding, Target

_NAME = "input.spacy"
_WRITTEN = "written"

_ODD = [None, True, 0, 1, -1, 2**31, 2**63 - 1, 2**64 - 1, 1.5, float("nan"), float("inf"), -0.5]
_ODD += [
    "",
    "x",
    "\x00",
    "x" * 300,
    b"",
    b"\x00",
    b"\xff" * 8,
    [],
    [0],
    [[]],
    {},
    {"": 0},
    "orig_id",
]
_ODD += [[0, 1, 0, 3, "", "Ann"], {b"nd": True, b"type": "<f8", b"shape": (0,), b"data": b""}]
_ODD += [{b"nd": True, b"type": "O", b"kind": b"", b"shape": (1,), b"data": b"\x00" * 8}]
ODD_VALUES = st.sampled_from(_ODD)
_BOMBS = [
    zlib.compress(b"\x00" * 2**29, 9),
    zlib.compress(b"\xdd" + struct.pack(">I", 2**32 - 1) + b"\x91" * 10**6),
    zlib.compress(b"\x91" * 10**7),
    zlib.compress((b"\xdd" + struct.pack(">I", 10**6)) * 500 + b"\x00" * 10**6),
]


def make_doc(text: Annotated) -> Doc:
    """Return a document with those entities of a text that do not overlap, and relations."""
    doc = Doc(NLP.vocab, words=text.words)
    spans = [Span(doc, start, end, label=label) for start, end, label in text.entities]
    kept = []
    for span in spans:
        if not any(span.start < other.end and other.start < span.end for other in kept):
            kept.append(span)
    doc.set_ents(kept, default="outside")
    set_relations(doc, [(spans[head], spans[tail], label) for head, tail, label in text.relations])
    set_entity_scores(doc, kept, [0.5] * len(kept))
    if text.orig_id is not None:
        doc.user_data["orig_id"] = text.orig_id
    return doc


@st.composite
def _inputs(draw) -> Files:
    if draw(st.integers(0, 60)) == 0:
        return {_NAME: draw(st.sampled_from(_BOMBS)), _WRITTEN: b"spert"}
    docs = list(map(make_doc, draw(texts(min_size=0))))
    data = DocBin(docs=docs, store_user_data=draw(st.integers(0, 9)) > 0).to_bytes()
    message = srsly.msgpack_loads(zlib.decompress(data))
    for _ in range(draw(st.integers(0, 2))):
        _mutate_message(draw, message)
    content = draw(odd_bytes(srsly.msgpack_dumps(message)))
    written = draw(st.sampled_from(sorted(FORMATS)))
    return {_NAME: draw(odd_bytes(zlib.compress(content))), _WRITTEN: written.encode()}


def _mutate_message(draw, message: dict) -> None:
    """Change one part of a message: the numbers of tokens, the user data, or the part itself."""
    kind = draw(st.sampled_from(["user_data"] * 4 + ["numbers"] * 3 + ["value", "delete", "add"]))
    if kind == "user_data" and message.get("user_data"):
        items = message["user_data"]
        if not isinstance(items, list):
            return
        position = draw(st.integers(0, len(items) - 1))
        if isinstance(items[position], bytes):
            items[position] = _mutate_user_data(draw, items[position])
    elif kind == "numbers":
        name = draw(st.sampled_from(["tokens", "tokens", "lengths", "spaces"]))
        if isinstance(message.get(name), bytes):
            message[name] = _mutate_numbers(draw, message[name], name)
    elif message:
        name = draw(st.sampled_from(sorted(message)))
        if kind == "delete":
            del message[name]
        elif kind == "value" or not isinstance(message[name], list):
            message[name] = draw(ODD_VALUES)
        else:
            message[name] = [*message[name], draw(ODD_VALUES)]


def _mutate_numbers(draw, data: bytes, name: str) -> bytes:
    types = {"tokens": "uint64", "lengths": "int32", "spaces": "uint8"}
    if not data or len(data) % np.dtype(types[name]).itemsize:
        return data + b"\x01" * 8
    values = np.frombuffer(data, types[name]).copy()
    position = draw(st.integers(0, values.size - 1))
    odd = st.sampled_from([0, 1, 2, 3, 4, 5, 99, 2**31 - 1, 2**32, 2**63, 2**64 - 1, 2**64 - 2])
    change = draw(st.sampled_from(["odd", "odd", "copy", "nudge", "cut"]))
    if change == "cut":
        return values[:position].tobytes()
    if change == "odd":
        value = draw(odd)
    elif change == "copy":
        value = int(values[draw(st.integers(0, values.size - 1))])
    else:
        value = int(values[position]) + draw(st.sampled_from([-1, 1]))
    bits = 8 * values.itemsize
    values[position] = np.array(value % 2**bits, dtype=f"uint{bits}").astype(values.dtype)
    return values.tobytes()


def _mutate_user_data(draw, packed: bytes) -> bytes:
    """Change a value somewhere in the user data of a document, or its bytes."""
    if draw(st.integers(0, 5)) == 0:
        return draw(odd_bytes(packed))
    try:
        data = srsly.msgpack_loads(packed, use_list=False)
        items = [_to_lists(item) for item in data.items()]
    except Exception:  # it was changed before
        return packed
    places = list(_list_places(items))
    if places:
        parent, index = draw(st.sampled_from(places))
        value = parent[index]
        change = draw(st.sampled_from(["odd", "odd", "nudge", "delete", "copy"]))
        if change == "nudge" and isinstance(value, int):
            parent[index] = value + draw(st.sampled_from([-1, 1, 5, -100]))
        elif change == "delete" and parent is not items and len(parent) > 2:
            del parent[index]
        elif change == "copy":
            other, position = draw(st.sampled_from(places))
            parent[index] = json.loads(json.dumps(other[position], default=str))
        else:
            parent[index] = draw(ODD_VALUES)
    return _pack_items(items)


def _to_lists(value):
    if isinstance(value, tuple):
        return list(map(_to_lists, value))
    return value


def _list_places(value):
    for index, item in enumerate(value):
        yield value, index
        if isinstance(item, list):
            yield from _list_places(item)


def _pack_items(items: list) -> bytes:
    """Return the message of a dictionary whose items need not be pairs, nor its keys hashable."""
    pieces = []
    for item in items:
        pair = item if isinstance(item, list) else [item]
        pieces += map(srsly.msgpack_dumps, pair[:2])
    if len(items) < 16:
        return bytes([0x80 | len(items)]) + b"".join(pieces)
    return b"\xde" + struct.pack(">H", len(items)) + b"".join(pieces)


def _check(files: Files, folder: Path) -> str:
    (folder / "in").mkdir()
    path = folder / "in" / _NAME
    path.write_bytes(files[_NAME])
    try:
        docs = list(read_docbin(path, NLP.vocab))
    except ValueError as err:
        check_message(err, path)
        return REFUSED
    message = srsly.msgpack_loads(zlib.decompress(files[_NAME]))
    lengths = np.frombuffer(message["lengths"], "int32")
    if len(docs) != len(lengths) or sum(map(len, docs)) * 8 * len(message["attrs"]) != len(
        message["tokens"]
    ):
        raise Finding("silent loss of documents", f"{len(docs)} of {len(lengths)}")
    check_docbin(docs, folder)
    check_written(docs, files[_WRITTEN].decode(), folder)
    return READ


TARGET = Target(_inputs(), _check)
