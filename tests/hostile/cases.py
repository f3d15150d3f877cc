"""Hostile model directories: each case changes a copy of a harmless one."""

import json
import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import srsly
import torch
from safetensors.torch import load, save
from thinc.api import Config

REFUSED = "refused"
LOADED = "loaded"  # unharmed: with the predictions of the harmless directory
CHANGED = "changed"  # loaded, with other predictions: what the files say


class Place(NamedTuple):
    """Where a case works.

    model (Path): The copy of a harmless directory.
    outside (Path): A folder that must stay as it is.
    mark (Path): A file that hostile code would write.
    """

    model: Path
    outside: Path
    mark: Path

    @property
    def code(self) -> str:
        """A program that leaves the mark."""
        return f"open({str(self.mark)!r}, 'w').write('run')\n"


class Case(NamedTuple):
    """A hostile directory.

    base (str): The harmless directory.
    change (Callable): Changes it.
    expected (tuple[str, ...]): What may become of it.
    file (str): The file that the message names.
    """

    base: str
    change: Callable[[Place], None]
    expected: tuple[str, ...]
    file: str


CASES: dict[str, Case] = {}


def add(
    name: str,
    change: Callable[[Place], None],
    *,
    base: str = "encoder",
    expected: tuple[str, ...] = (REFUSED,),
    file: str = "",
) -> None:
    assert name not in CASES, name
    CASES[name] = Case(base, change, expected, file)


# Tools that change a directory


def edit_msgpack(path: Path, edit: Callable[[Any], Any]) -> None:
    data = srsly.msgpack_loads(path.read_bytes())
    changed = edit(data)
    path.write_bytes(srsly.msgpack_dumps(data if changed is None else changed))


def edit_shim(path: Path, edit: Callable[[Any], Any]) -> None:
    """Change the data of the only module of a model."""

    def change(layers: Any) -> None:
        for shims in layers["shims"]:
            for index, data in enumerate(shims):
                message = srsly.msgpack_loads(data)
                changed = edit(message)
                if changed is None:
                    changed = srsly.msgpack_dumps(message)
                shims[index] = changed

    edit_msgpack(path, change)


def edit_json(path: Path, edit: Callable[[Any], Any]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    changed = edit(data)
    path.write_text(json.dumps(data if changed is None else changed), encoding="utf-8")


def edit_config(place: Place, edit: Callable[[Any], None]) -> None:
    path = place.model / "config.cfg"
    config = Config().from_disk(path, interpolate=False)
    edit(config)
    config.to_disk(path, interpolate=False)


class Evil:
    """A pickle of it runs code."""

    def __init__(self, code: str):
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


def make_pickle(place: Place) -> bytes:
    return pickle.dumps(Evil(place.code))


def set_key(key: str, value: object) -> Callable[[Any], None]:
    def edit(data: Any) -> None:
        data[key] = value

    return edit


def drop_key(key: str) -> Callable[[Any], None]:
    def edit(data: Any) -> None:
        del data[key]

    return edit


# Encoders: code, paths, files


def encoder_case(
    name: str,
    edit: Callable[[Place, Any], object],
    *,
    base: str = "encoder",
    expected: tuple[str, ...] = (REFUSED,),
) -> None:
    def change(place: Place) -> None:
        edit_shim(place.model / "transformer" / "model", lambda message: edit(place, message))

    add(f"{base}: {name}", change, base=base, expected=expected, file="transformer/model")


def edit_tokenizer_config(message: Any, values: dict[str, object]) -> None:
    config = json.loads(message["tokenizer"]["tokenizer_config.json"])
    message["tokenizer"]["tokenizer_config.json"] = json.dumps({**config, **values}).encode()


def _auto_map(place: Place, message: Any, *, trust: bool = True) -> None:
    if trust:
        message["tokenizer"]["kwargs"]["trust_remote_code"] = True
    edit_tokenizer_config(message, {"auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}})
    message["tokenizer"]["evil.py"] = place.code.encode()


def _auto_map_alone(place: Place, message: Any) -> None:
    edit_tokenizer_config(message, {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}})


def _config_auto_map(place: Place, message: Any) -> None:
    message["config"]["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}


def _nested_auto_map(place: Place, message: Any) -> None:
    message["config"]["text_config"] = {"auto_map": {"AutoModel": "evil.Evil"}}


def _config_in_tokenizer(place: Place, message: Any) -> None:
    config = {**message["config"], "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    message["tokenizer"]["config.json"] = json.dumps(config).encode()


def _file(name: str) -> Callable[[Place, Any], None]:
    def edit(place: Place, message: Any) -> None:
        full = name.replace("OUTSIDE", str(place.outside))
        message["tokenizer"][full] = b"written"

    return edit


def _kwargs(**values: object) -> Callable[[Place, Any], None]:
    return lambda place, message: message["tokenizer"]["kwargs"].update(values)


def _config(**values: object) -> Callable[[Place, Any], None]:
    return lambda place, message: message["config"].update(values)


def _tokenizer_config(**values: object) -> Callable[[Place, Any], None]:
    return lambda place, message: edit_tokenizer_config(message, values)


def _tokenizer_file(name: str, content: object) -> Callable[[Place, Any], None]:
    def edit(place: Place, message: Any) -> None:
        message["tokenizer"][name] = content

    return edit


def _tokenizer_rules(edit_rules: Callable[[Any], object]) -> Callable[[Place, Any], None]:
    def edit(place: Place, message: Any) -> None:
        rules = json.loads(message["tokenizer"]["tokenizer.json"])
        edit_rules(rules)
        message["tokenizer"]["tokenizer.json"] = json.dumps(rules).encode()

    return edit


for _base in ("encoder", "foreign"):
    encoder_case("remote code of a tokenizer", _auto_map, base=_base)
    encoder_case("auto_map of a tokenizer", _auto_map_alone, base=_base)
    encoder_case("auto_map of the config", _config_auto_map, base=_base)
    encoder_case("auto_map in a nested config", _nested_auto_map, base=_base)
    encoder_case("a config.json among the files", _config_in_tokenizer, base=_base)
    for _name in ("../../x", "OUTSIDE/x", "..\\x", "a/b", "tokenizer.json/../../x", "", ".", ".."):
        encoder_case(f"file {_name!r}", _file(_name), base=_base)
    encoder_case("a module among the files", _file("modeling_bert.py"), base=_base)
    encoder_case("a NUL in a file name", _file("vocab.txt\0"), base=_base)
    encoder_case("a cache folder", _kwargs(cache_dir="/tmp/x"), base=_base)
    encoder_case("another vocabulary", _kwargs(vocab_file="/etc/passwd"), base=_base)
    encoder_case("unknown type", _config(model_type="evil"), base=_base)
    encoder_case("quantised", _config(quantization_config={"load_in_8bit": True}), base=_base)
    encoder_case("a kernel of the hub", _config(attn_implementation="x/y"), base=_base)
    encoder_case("huge", _config(hidden_size=10**9), base=_base)
    encoder_case("many layers", _config(num_hidden_layers=10**9), base=_base)
    encoder_case("files that are no bytes", _tokenizer_file("vocab.txt", ["x"]), base=_base)
encoder_case("many layers of GPT-2", _config(model_type="gpt2", n_layer=10**6))
encoder_case("many layers of XLNet", _config(model_type="xlnet", n_layer=10**6))
encoder_case("many blocks", _config(model_type="funnel", block_sizes=[10**7]))
encoder_case("many layers of GPT-2", _config(model_type="gpt2", n_layer=10**6), base="foreign")
encoder_case("files as text", _tokenizer_file("tokenizer.json", "x"))
encoder_case("a long file name", _file("x" * 5000))
encoder_case("a pickled vocabulary", _file("vocab.pkl"))
encoder_case("no type", _config(model_type=None))
encoder_case("a type of a list", _config(model_type=["bert"]))
encoder_case("a backbone to download", _config(backbone="timm/resnet50"))
encoder_case("a huge vocabulary", _config(vocab_size=10**9))
encoder_case("a vocabulary of text", _config(vocab_size="many"))
encoder_case("a negative width", _config(hidden_size=-8))
encoder_case("unknown precision", _config(torch_dtype="hub"))
encoder_case("unknown activation", _config(hidden_act="evil"))
encoder_case("a layer more", _config(num_hidden_layers=2))
encoder_case("tuples as output", _config(return_dict=False), expected=(REFUSED, LOADED))
encoder_case("NaN in the config", _config(layer_norm_eps=float("nan")))
encoder_case("a class of code", _tokenizer_config(tokenizer_class="evil.Evil"))
encoder_case("a class that is no tokenizer", _tokenizer_config(tokenizer_class="Trainer"))
encoder_case("an unknown class", _tokenizer_config(tokenizer_class="EvilTokenizer"))
encoder_case(
    "a path in the settings", _tokenizer_config(vocab_file="/etc/passwd"), expected=(LOADED,)
)
encoder_case("a length of 0", _tokenizer_config(model_max_length=0))
encoder_case("a length of text", _tokenizer_config(model_max_length="many"))
encoder_case("a token of code", _tokenizer_config(unk_token={"a": {"b": {"c": {"d": [[[]]]}}}}))
encoder_case("damaged rules", _tokenizer_file("tokenizer.json", b'{"version": '))
encoder_case("rules of another type", _tokenizer_file("tokenizer.json", b"[]"))
encoder_case("deep rules", _tokenizer_file("tokenizer.json", b"[" * 10**5))
encoder_case(
    "a slow expression",
    _tokenizer_rules(
        set_key(
            "pre_tokenizer",
            {
                "type": "Split",
                "pattern": {"Regex": "(a+)+$"},
                "behavior": "Isolated",
                "invert": False,
            },
        )
    ),
)
_PADDING = {"direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
_TRUNCATION = {"direction": "Right", "strategy": "LongestFirst"}
for _name, _key, _value in (
    ("a length of padding", "padding", _PADDING | {"strategy": {"Fixed": 3 * 10**8}}),
    (
        "a multiple of padding",
        "padding",
        _PADDING | {"strategy": "BatchLongest", "pad_to_multiple_of": 3 * 10**8},
    ),
    ("a stride of truncation", "truncation", _TRUNCATION | {"max_length": 3, "stride": 10**9}),
):
    encoder_case(_name, _tokenizer_rules(set_key(_key, _value)), expected=(LOADED,))
encoder_case(
    "text that grows",
    _tokenizer_rules(
        set_key(
            "normalizer",
            {
                "type": "Sequence",
                "normalizers": [
                    {"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"}
                ]
                * 12,
            },
        )
    ),
)
encoder_case(
    "a sub-word beyond the embeddings",
    _tokenizer_rules(lambda rules: rules["model"]["vocab"].update({"beyond": 10**6})),
)
encoder_case(
    "a second text beyond the types",
    _tokenizer_rules(
        lambda rules: [
            item[kind].update(type_id=7)
            for item in rules["post_processor"]["single"]
            for kind in item
        ]
    ),
)
encoder_case("config of a list", lambda place, message: message.update(config=[1]))
encoder_case("tokenizer of a list", lambda place, message: message.update(tokenizer=[1]))
encoder_case("no tokenizer", lambda place, message: message.pop("tokenizer") and None)
encoder_case("no state", lambda place, message: message.pop("state") and None)
encoder_case("no data", lambda place, message: srsly.msgpack_dumps([]))
encoder_case("pickle", lambda place, message: make_pickle(place))


# Weights of encoders and heads


def _tensors(edit: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Place, Any], None]:
    def change(place: Place, message: Any) -> None:
        tensors = load(message["state"])
        edit(tensors)
        message["state"] = save(tensors)

    return change


def _first(tensors: dict[str, torch.Tensor]) -> str:
    """Return the name of a large floating-point weight."""
    return max(sorted(tensors), key=lambda name: tensors[name].numel())


def _change(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Place, Any], None]:
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        name = _first(tensors)
        tensors[name] = change(tensors[name]).contiguous()

    return _tensors(edit)


def _fill(value: float) -> Callable[[Place, Any], None]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        changed.view(-1)[-1] = value
        return changed

    return _change(change)


def _state(make: Callable[[bytes], bytes]) -> Callable[[Place, Any], None]:
    return lambda place, message: message.update(state=make(message["state"]))


def _header(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _make_archive(compress: int, content: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


def _torch_pickle(place: Place, message: Any) -> None:
    message["state"] = _make_archive(zipfile.ZIP_STORED, make_pickle(place))


def _zip_bomb(place: Place, message: Any) -> None:
    message["state"] = _make_archive(zipfile.ZIP_DEFLATED, b"\0" * (3 * 2**30 // 8))


def _raw_pickle(place: Place, message: Any) -> None:
    message["state"] = make_pickle(place)


_WEIGHTS: dict[str, Callable[[Place, Any], object]] = {
    "NaN": _fill(float("nan")),
    "inf": _fill(float("inf")),
    "-inf": _fill(float("-inf")),
    "whole numbers": _change(lambda tensor: tensor.to(torch.int64)),
    "truth values": _change(lambda tensor: tensor.to(torch.bool)),
    "8 bits": _change(lambda tensor: tensor.to(torch.float8_e4m3fn)),
    "complex numbers": _change(lambda tensor: tensor.to(torch.complex64)),
    "another width": _change(lambda tensor: tensor[..., 1:]),
    "another axis": _change(lambda tensor: tensor.reshape(-1)),
    "no rows": _change(lambda tensor: tensor[:0]),
    "a weight less": _tensors(lambda tensors: tensors.pop(_first(tensors))),
    "a weight more": _tensors(set_key("evil", torch.zeros(1))),
    "another name": _tensors(lambda tensors: tensors.update(evil=tensors.pop(_first(tensors)))),
    "no weights": _tensors(lambda tensors: tensors.clear()),
    "truncated": _state(lambda state: state[: len(state) // 2]),
    "empty": _state(lambda state: b""),
    "flipped header": _state(lambda state: b"\xff" + state[1:]),
    "a long header": _state(lambda state: struct.pack("<Q", 2**62) + state[8:]),
    "an absurd shape": _state(
        lambda state: _header(
            {"a": {"dtype": "F32", "shape": [10**12, 10**6], "data_offsets": [0, 4]}}, b"\0" * 4
        )
    ),
    "shared bytes": _state(
        lambda state: _header(
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            },
            b"\0" * 4,
        )
    ),
    "unknown type": _state(
        lambda state: _header({"a": {"dtype": "EVIL", "shape": [], "data_offsets": [0, 0]}})
    ),
    "a pickle": _raw_pickle,
    "a pickle of torch": _torch_pickle,
    "a zip bomb": _zip_bomb,
    "text": lambda place, message: message.update(state="x"),
    "a list": lambda place, message: message.update(state=[1, 2]),
}
for _name, _edit in _WEIGHTS.items():
    encoder_case(f"weights: {_name}", _edit)


def _head_change(edit: Callable[[Place, Any], object], path: str) -> Callable[[Place], None]:
    return lambda place: edit_shim(place.model / path, lambda message: edit(place, message))


for _base, _path in (
    ("plain", "tabcnn/model"),
    ("spans", "spert/model"),
    ("pairs", "pfn/model"),
):
    for _name, _edit in _WEIGHTS.items():
        add(f"{_base}: head: {_name}", _head_change(_edit, _path), base=_base, file=_path)
for _name, _edit in {
    "a huge size": lambda place, message: message["config"].update(n_tags=10**9),
    "a size of text": lambda place, message: message["config"].update(n_tags="many"),
    "a negative size": lambda place, message: message["config"].update(width=-1),
    "an unknown size": lambda place, message: message["config"].update(evil=1),
    "a size less": lambda place, message: message["config"].pop("width") and None,
    "sizes of a list": lambda place, message: message.update(config=[1]),
    "no sizes": lambda place, message: message.update(config={}),
    "pickle": lambda place, message: make_pickle(place),
}.items():
    add(
        f"plain: head: {_name}",
        _head_change(_edit, "tabcnn/model"),
        base="plain",
        file="tabcnn/model",
    )
for _name in ("remote code", "a pickle of torch", "a zip bomb"):
    if _name in _WEIGHTS:
        encoder_case(f"weights: {_name}", _WEIGHTS[_name], base="foreign")


# Layers


def layers_case(
    name: str,
    edit: Callable[[Any], object],
    *,
    base: str = "plain",
    path: str = "tabcnn/model",
    expected: tuple[str, ...] = (REFUSED,),
) -> None:
    def change(place: Place) -> None:
        edit_msgpack(place.model / path, edit)

    add(f"{base}: layers: {name}", change, base=base, expected=expected, file=path)


def _param(change: Callable[[np.ndarray], object]) -> Callable[[Any], None]:
    def edit(layers: Any) -> None:
        for params in layers["params"]:
            for name, value in params.items():
                if value is not None and np.ndim(value) > 1:
                    params[name] = change(np.array(value))
                    return

    return edit


def _with_nan(array: np.ndarray) -> np.ndarray:
    array[0, 0] = np.nan
    return array


def _attr(name: str, value: object) -> Callable[[Any], None]:
    def edit(layers: Any) -> None:
        layers["attrs"][0][name] = srsly.msgpack_dumps(value)

    return edit


def _attr_of_all(name: str, value: object) -> Callable[[Any], None]:
    def edit(layers: Any) -> None:
        for attrs in layers["attrs"]:
            if name in attrs:
                attrs[name] = srsly.msgpack_dumps(value)

    return edit


def _object_array(place: Place) -> None:
    """An array of objects, in the form of msgpack-numpy: its data is a pickle."""

    def edit(layers: Any) -> None:
        array = {
            b"nd": True,
            b"type": "|O",
            b"kind": b"O",
            b"shape": [1],
            b"data": make_pickle(place),
        }
        layers["params"][2]["E"] = array

    edit_msgpack(place.model / "tabcnn" / "model", edit)


layers_case("NaN", _param(_with_nan))
layers_case("whole numbers", _param(lambda array: array.astype("int64")))
layers_case("another shape", _param(lambda array: array[1:]))
layers_case("flat", _param(np.ravel))
layers_case("no array", _param(lambda array: 5))
layers_case("an array less", _param(lambda array: None))
layers_case("text as numbers", _param(lambda array: np.array(["x"])))
layers_case("a layer less", lambda layers: layers["nodes"].pop() and None)
layers_case("a layer more", lambda layers: layers["nodes"].append(layers["nodes"][0]))
layers_case("nodes of numbers", lambda layers: layers.update(nodes=[1] * len(layers["nodes"])))
layers_case("no modules", lambda layers: layers.update(shims=[[]] * len(layers["nodes"])))
layers_case("no key", drop_key("attrs"))
layers_case("a huge size", lambda layers: layers["nodes"][-1]["dims"].update(n_tags=10**9))
layers_case("a far reference", lambda layers: layers["nodes"][0]["refs"].update(head=10**6))
layers_case("no reference", lambda layers: layers["nodes"][0]["refs"].update(head=None))
for _name, _value in {"pad": 10**9, "column": 10**9, "window_size": 10**8, "seed": -1}.items():
    layers_case(f"another {_name}", _attr_of_all(_name, _value))
layers_case("labels of others", _attr("labels", [["LOC", "PER"], ["LiveIn", "Knows"]]))
layers_case("labels of no list", _attr("labels", 5))
layers_case("a list", lambda layers: [])
layers_case("a function", _attr("get_spans", "evil"), base="encoder", path="transformer/model")
layers_case(
    "width",
    lambda layers: layers["nodes"][0]["dims"].update(nO=4),
    base="encoder",
    path="transformer/model",
    expected=(REFUSED, LOADED),
)
layers_case("NaN in sentences", _param(_with_nan), base="encoder", path="sentence_starts/model")
add("plain: layers: array of objects", _object_array, base="plain", file="tabcnn/model")


# Raw bytes in every file

_FILES = (
    "config.cfg",
    "meta.json",
    "tokenizer",
    "vocab/strings.json",
    "vocab/lookups.bin",
    "vocab/key2row",
    "vocab/vectors",
    "vocab/vectors.cfg",
    "sentence_starts/cfg",
    "sentence_starts/model",
    "transformer/cfg",
    "transformer/model",
    "tabcnn/cfg",
    "tabcnn/model",
)


def _replace(path: str, make: Callable[[Place, bytes], bytes]) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        file = place.model / path
        file.write_bytes(make(place, file.read_bytes()))

    return change


for _path in _FILES:
    add(f"{_path}: a pickle", _replace(_path, lambda place, old: make_pickle(place)), file=_path)
    add(
        f"{_path}: cut",
        _replace(_path, lambda place, old: old[: len(old) // 2]),
        file=_path,
        expected=(REFUSED, LOADED),
    )
    add(
        f"{_path}: empty",
        _replace(_path, lambda place, old: b""),
        file=_path,
        expected=(REFUSED, LOADED),
    )
for _path in ("tokenizer", "transformer/model", "tabcnn/model", "vocab/lookups.bin"):
    for _name, _content in {
        "a huge list": b"\xdd\xff\xff\xff\xff",
        "a huge text": b"\xdb\xff\xff\xff\xff",
        "deep": b"\x91" * 10**5,
        "lists that claim much": b"\xdd\x00\x10\x00\x00" * 10**5,
        "an extension": b"\xc7\x01\x05a",
    }.items():
        add(
            f"{_path}: {_name}",
            _replace(_path, lambda place, old, content=_content: content),
            file=_path,
        )
for _path in ("meta.json", "tabcnn/cfg", "vocab/strings.json"):
    for _name, _content in {
        "deep": b"[" * 10**5,
        "a long number": b'{"lang": ' + b"1" * 10**4 + b"}",
        "null": b"null",
        "a number": b"5",
        "not UTF-8": b'"\xff\xfe"',
    }.items():
        add(
            f"{_path}: {_name}",
            _replace(_path, lambda place, old, content=_content: content),
            file=_path,
        )


# Labels


def labels_case(name: str, edit: Callable[[Any], object]) -> None:
    add(
        f"labels: {name}",
        lambda place: edit_json(place.model / "tabcnn" / "cfg", edit),
        base="plain",
        file="tabcnn/cfg",
    )


add(
    "transformer/cfg: a batch of a list",
    lambda place: edit_json(place.model / "transformer" / "cfg", set_key("max_batch_items", [1])),
    file="transformer/cfg",
)
labels_case("one more", lambda cfg: cfg["labels"]["entities"].append("ORG"))
labels_case("one less", lambda cfg: cfg["labels"]["entities"].pop() and None)
labels_case("another order", lambda cfg: cfg["labels"]["entities"].reverse())
labels_case("a relation less", lambda cfg: cfg["labels"]["relations"].popitem() and None)
labels_case(
    "another relation",
    lambda cfg: cfg["labels"]["relations"].update(
        {"Evil": cfg["labels"]["relations"].pop("Knows")}
    ),
)
labels_case("twice", lambda cfg: cfg["labels"]["entities"].extend(["PER"]))
labels_case("numbers", lambda cfg: cfg["labels"].update(entities=[1, 2]))
labels_case("a text", lambda cfg: cfg["labels"].update(entities="PER"))
labels_case("null", lambda cfg: cfg.update(labels=None))
labels_case("a list", lambda cfg: cfg.update(labels=["PER"]))
labels_case("none", drop_key("labels"))
labels_case("triples", lambda cfg: cfg["labels"]["relations"].update(LiveIn=[["a", "b", "c"]]))
labels_case("empty", lambda cfg: cfg["labels"].update(entities=["", "LOC"]))
labels_case("counts of text", lambda cfg: cfg.update(trained_on={"documents": "many"}))
labels_case("counts of a list", lambda cfg: cfg.update(trained_on=[]))


# config.cfg


def config_case(
    name: str,
    edit: Callable[[Place, Any], object],
    *,
    base: str = "plain",
    expected: tuple[str, ...] = (REFUSED,),
    file: str = "config.cfg",
) -> None:
    add(
        f"config: {name}",
        lambda place: edit_config(place, lambda config: edit(place, config)),
        base=base,
        expected=expected,
        file=file,
    )


def _callback(block: str, **function: object) -> Callable[[Place, Any], None]:
    def edit(place: Place, config: Any) -> None:
        config["nlp"][block] = {
            key.replace("at_", "@"): str(value).replace("OUTSIDE", str(place.outside))
            for key, value in function.items()
        }

    return edit


def _argument(value: object) -> Callable[[Place, Any], None]:
    def edit(place: Place, config: Any) -> None:
        config["components"]["tabcnn"]["scorer"] = value

    return edit


config_case(
    "a logger that writes",
    _callback(
        "after_creation", at_loggers="spacy.ConsoleLogger.v3", output_file="OUTSIDE/log.jsonl"
    ),
)
config_case(
    "a callback that loads",
    _callback("after_creation", at_callbacks="spacy.copy_from_base_model.v1", tokenizer="OUTSIDE"),
)
config_case("a callback", _callback("before_creation", at_callbacks="evil"))
config_case(
    "a reader of files",
    _argument({"@readers": "srsly.read_json.v1", "path": "/etc/passwd"}),
)
config_case("a knowledge base", _argument({"@misc": "spacy.KBFromFile.v1", "kb_path": "/"}))
config_case("a logger as scorer", _argument({"@loggers": "spacy.ConsoleLogger.v2"}))
config_case("a function in a list", _argument([{"@readers": "srsly.read_json.v1", "path": "/"}]))
config_case("a program of torch", _argument({"@layers": "TorchScriptWrapper.v1"}))
config_case("a language model", _argument({"@llm_models": "spacy.GPT-4.v1"}))
config_case("an unknown function", _argument({"@scorers": "evil"}))
config_case(
    "another pipeline",
    lambda place, config: (
        config["components"].update(evil={"source": str(place.outside), "component": "tabcnn"})
        or config["nlp"]["pipeline"].append("evil")
    ),
)
config_case(
    "an unknown component",
    lambda place, config: config["components"]["tabcnn"].update(factory="evil"),
)
config_case("no factory", lambda place, config: config["components"]["tabcnn"].pop("factory"))
for _name in ("../../x", "/tmp/x", "..", "a/b", "a\\b"):
    config_case(
        f"component {_name!r}",
        lambda place, config, name=_name: config["components"].update(
            {name: config["components"]["tabcnn"]}
        ),
    )
config_case("language of a path", lambda place, config: config["nlp"].update(lang="../en"))
config_case("an unknown language", lambda place, config: config["nlp"].update(lang="evil"))
config_case("no language", lambda place, config: config["nlp"].pop("lang"))
config_case("a pipeline of text", lambda place, config: config["nlp"].update(pipeline="tabcnn"))
config_case("a missing component", lambda place, config: config["nlp"].update(pipeline=["x"]))
config_case("no pipeline", lambda place, config: config.pop("nlp"))
config_case(
    "a huge head",
    lambda place, config: config["components"]["tabcnn"]["model"]["head"].update(hidden=[10**9]),
    file="tabcnn/model",
)
config_case(
    "a huge embedding",
    lambda place, config: config["components"]["tabcnn"]["model"]["tok2vec"].update(
        embed_size=10**9
    ),
    file="tabcnn/model",
)
config_case(
    "vectors of a path",
    lambda place, config: config["initialize"].update(vectors=str(place.outside)),
    expected=(LOADED,),
)
config_case(
    "remote code of the tokenizer",
    lambda place, config: config["components"]["transformer"]["model"]["tokenizer_config"].update(
        trust_remote_code=True
    ),
    base="encoder",
)
config_case(
    "remote code of the encoder",
    lambda place, config: config["components"]["transformer"]["model"]["transformer_config"].update(
        trust_remote_code=True
    ),
    base="encoder",
)


def _model(name: str, **values: object) -> Callable[[Place, Any], None]:
    return lambda place, config: config["components"]["tabcnn"]["model"][name].update(values)


def _copies(n: int) -> Callable[[Place, Any], None]:
    def edit(place: Place, config: Any) -> None:
        model = config["components"]["tabcnn"]["model"]
        for _ in range(2):
            model["tok2vec"] = {"@layers": "clone.v1", "n": n, "orig": model["tok2vec"]}

    return edit


def _spans(**values: object) -> Callable[[Place, Any], None]:
    def edit(place: Place, config: Any) -> None:
        config["components"]["transformer"]["model"]["get_spans"].update(values)

    return edit


config_case("many layers", _model("tok2vec", depth=10**8))
config_case("many layers as text", _model("tok2vec", depth="100000000"))
config_case("many layers of a head", _model("head", hidden=[1] * 10**5))
config_case("copies of copies", _copies(1000))
for _name, _size in (("stride", 0), ("stride", -1), ("window", 0)):
    config_case(f"{_name} {_size}", _spans(**{_name: _size}), base="encoder")


def _reference_bomb(place: Place) -> None:
    path = place.model / "config.cfg"
    lines = ["\n[bomb]", 'v0 = "' + "x" * 100 + '"']
    for number in range(1, 10):
        references = f"${{bomb.v{number - 1}}}" * 20
        lines.append(f'v{number} = "{references}"')
    path.write_text(path.read_text() + "\n".join(lines), encoding="utf-8")


def _append(text: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        path = place.model / "config.cfg"
        path.write_text(path.read_text() + text, encoding="utf-8")

    return change


def _refer(value: object, text: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        edit_config(place, lambda config: _argument(value)(place, config))
        _append(text)(place)

    return change


add(
    "config: a reference to a function",
    _refer("${evil}", '\n[evil]\n@readers = "srsly.read_json.v1"\npath = "/etc/passwd"\n'),
    base="plain",
    file="config.cfg",
)
add(
    "config: a reference to a name",
    _refer({"@layers": "${evil.name}"}, '\n[evil]\nname = "TorchScriptWrapper.v1"\n'),
    base="plain",
    file="config.cfg",
)
add("config: references that grow", _reference_bomb, base="plain", file="config.cfg")
add(
    "config: references in a circle",
    _append('\n[a]\nx = "${a.y}"\ny = "${a.x}"\n'),
    base="plain",
    file="config.cfg",
)
add(
    "config: deep",
    _append("\n[" + ".".join(["a"] * 5000) + "]\nx = 1\n"),
    base="plain",
    file="config.cfg",
)
add(
    "config: a deep value",
    _append("\n[a]\nx = " + "[" * 10**5 + "\n"),
    base="plain",
    expected=(REFUSED, LOADED),
    file="config.cfg",
)
add(
    "config: long", _append("\n[a]\nx = " + "1" * 3 * 10**6 + "\n"), base="plain", file="config.cfg"
)


# Tokenizer, vectors, meta.json


def tokenizer_case(
    name: str, edit: Callable[[Any], object], *, expected: tuple[str, ...] = (REFUSED,)
) -> None:
    add(
        f"tokenizer: {name}",
        lambda place: edit_msgpack(place.model / "tokenizer", edit),
        base="plain",
        expected=expected,
        file="tokenizer",
    )


for _name in ("prefix_search", "suffix_search", "infix_finditer", "token_match", "url_match"):
    tokenizer_case(f"slow {_name}", set_key(_name, "(a+)+$|" + "x"))
for _name, _pattern in {
    "alternative": "(a|a)*b",
    "part hidden by comments": "(?#[)(a+)+$(?#])",
    "limit with zeros": "(a+){0,00000099}$",
    "row of options": "a?" * 40 + "a" * 40,
    "row of alternatives": "(a|a)" * 40 + "b",
    "row of repetitions": "a*a*a*a*b",
}.items():
    tokenizer_case(f"a slow {_name}", set_key("token_match", _pattern))
tokenizer_case("no expression", set_key("infix_finditer", "(((("))
tokenizer_case("a number", set_key("infix_finditer", 5))
tokenizer_case("exceptions of text", set_key("exceptions", {"a": "b"}))
tokenizer_case("exceptions that differ", set_key("exceptions", {"a": [{65: "b"}]}))
tokenizer_case("no exceptions", set_key("exceptions", [1]), expected=(REFUSED, LOADED, CHANGED))
tokenizer_case("a list", lambda data: [])


# Files of spaCy's own components


def component_case(factory: str, name: str, path: str, content: bytes) -> None:
    """Add a component with one file, without the others: it is refused before they are read."""

    def change(place: Place) -> None:
        def edit(config: Any) -> None:
            config["components"]["added"] = {"factory": factory}
            config["nlp"]["pipeline"] = ["added", *config["nlp"]["pipeline"]]

        edit_config(place, edit)
        (place.model / path).parent.mkdir(exist_ok=True)
        (place.model / path).write_bytes(content)

    add(f"{factory}: {name}", change, base="plain", file=path)


def patterns_case(name: str, pattern: object) -> None:
    line = json.dumps({"label": "A", "pattern": pattern}).encode()
    data = srsly.msgpack_dumps([{"patterns": [pattern], "attrs": {"TAG": "A"}, "index": 0}])
    component_case("entity_ruler", name, "added/patterns.jsonl", line)
    component_case("span_ruler", name, "added/patterns", line)
    component_case("attribute_ruler", name, "added/patterns", data)


patterns_case("a slow expression", [{"TEXT": {"REGEX": "(a+)+$"}}])
patterns_case("a slow expression in small letters", [{"TEXT": {"regex": "(a+)+$"}}])
patterns_case("a slow expression in a list", [{"TEXT": {"REGEX": {"IN": ["(a+)+$"]}}}])
patterns_case("a slow expression for similar texts", [{"TEXT": {"FUZZY": {"REGEX": "(a+)+$"}}}])
patterns_case("many repetitions", [{"OP": "*"}] * 8 + [{"TEXT": "zz"}])
patterns_case("many words that may be absent", [{"OP": "?"}] * 60)
patterns_case("a huge limit", [{"TEXT": "q", "OP": "{1,99999999}"}])
_TREE = {"prefix_len": 0, "suffix_len": 0, "prefix_tree": 0, "suffix_tree": 0}
for _name, _trees in {
    "a tree in itself": [_TREE],
    "trees that double": [
        _TREE | {"prefix_tree": number, "suffix_tree": number} for number in range(1, 60)
    ]
    + [{"orig": 0, "subst": 0}],
    "a far tree": [_TREE | {"prefix_tree": 10**8}],
    "trees of a number": 5,
}.items():
    component_case(
        "trainable_lemmatizer", _name, "added/trees", srsly.msgpack_dumps({"trees": _trees})
    )


def vectors_case(name: str, make: Callable[[Place], bytes]) -> None:
    add(
        f"vectors: {name}",
        _replace("vocab/vectors", lambda place, old: make(place)),
        base="plain",
        file="vocab/vectors",
    )


def _array(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


vectors_case("objects", lambda place: _array(np.array([Evil(place.code)], dtype=object)))
vectors_case("whole numbers", lambda place: _array(np.zeros((2, 2), dtype="int64")))
vectors_case("NaN", lambda place: _array(np.full((2, 2), np.nan, dtype="float32")))
vectors_case("one axis", lambda place: _array(np.zeros(4, dtype="float32")))
vectors_case(
    "an absurd shape",
    lambda place: _array(np.zeros((1, 1), dtype="float32")).replace(
        b"(1, 1), }            ", b"(10000000000000, 1), }"[:22] + b"" * 0
    ),
)
for _name, _value in {
    "lang of a number": {"lang": 5},
    "name of a list": {"name": []},
    "vectors of a list": {"vectors": []},
    "labels of text": {"labels": "x"},
    "version of a mapping": {"spacy_version": {}},
}.items():
    add(
        f"meta.json: {_name}",
        lambda place, value=_value: edit_json(
            place.model / "meta.json", lambda meta: meta.update(value)
        ),
        base="plain",
        file="meta.json",
    )
for _name, _strings in {"a mapping": {}, "numbers": [1], "lists": [["a"]]}.items():
    add(
        f"vocab/strings.json: {_name}",
        _replace(
            "vocab/strings.json", lambda place, old, value=_strings: json.dumps(value).encode()
        ),
        base="plain",
        file="vocab/strings.json",
    )


# Links, other kinds of files, missing files


def _link(path: str, target: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        file = place.model / path
        if file.is_dir():
            file.rename(file.with_name("moved"))
        else:
            file.unlink()
        file.symlink_to(target.replace("OUTSIDE", str(place.outside)))

    return change


def _link_inside(place: Place) -> None:
    file = place.model / "tabcnn" / "model"
    file.rename(place.model / "tabcnn" / "weights")
    file.symlink_to("weights")


def _fifo(path: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        (place.model / path).unlink()
        os.mkfifo(place.model / path)

    return change


def _socket(place: Place) -> None:
    folder = os.open(place.model, os.O_RDONLY)
    before = os.getcwd()
    os.fchdir(folder)
    (place.model / "tokenizer").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("tokenizer")
    os.chdir(before)
    os.close(folder)


for _path, _target in (
    ("transformer/model", "/etc/passwd"),
    ("transformer/model", "/dev/zero"),
    ("tabcnn/cfg", "/dev/stdin"),
    ("config.cfg", "OUTSIDE/config.cfg"),
    ("tokenizer", "/proc/self/mem"),
    ("tabcnn", "OUTSIDE"),
    ("vocab", "/etc"),
    ("tokenizer", "tokenizer"),
    ("tokenizer", "nowhere"),
):
    add(f"link: {_path} to {_target}", _link(_path, _target), file=_path)
add("link: inside", _link_inside, expected=(LOADED,), file="tabcnn/model")
for _path in ("tokenizer", "tabcnn/model", "transformer/cfg"):
    add(f"pipe: {_path}", _fifo(_path), file=_path)
add("socket: tokenizer", _socket, file="tokenizer")


def _folder(path: str) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        (place.model / path).unlink()
        (place.model / path).mkdir()

    return change


def _hub_folder(place: Place) -> None:
    """spacy-transformers reads a folder in the place of the file in Hugging Face's form."""
    _folder("transformer/model")(place)
    folder = place.model / "transformer" / "model"
    auto_map = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}
    config = {"model_type": "evil", "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "evil.py").write_text(place.code)


add("a hub's folder for the encoder", _hub_folder, file="transformer/model")
add(
    "foreign: a hub's folder for the encoder", _hub_folder, base="foreign", file="transformer/model"
)
for _path in _FILES:
    add(f"{_path}: a folder", _folder(_path), expected=(REFUSED, LOADED), file=_path)
    add(
        f"{_path}: missing",
        lambda place, path=_path: (place.model / path).unlink(),
        expected=(REFUSED, LOADED, CHANGED),
        file=_path,
    )


def _modules(place: Place) -> None:
    for name in ("__init__.py", "evil.py", "sitecustomize.py", "tabcnn/__init__.py", "spacy.py"):
        (place.model / name).write_text(place.code)


add("modules beside the files", _modules, expected=(LOADED,))
