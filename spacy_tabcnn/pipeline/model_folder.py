"""The check of a model directory before it is loaded: it holds numbers and text, and no code.

spaCy's loader calls each registered function that config.cfg names, among them some that write
files or read others, and spacy-transformers' loader writes each file that it finds in a saved
encoder. So the directory is read here first, without either of them.
"""

import math
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
from spacy.util import (
    compile_infix_regex,
    compile_prefix_regex,
    compile_suffix_regex,
    get_lang_class,
    load_config,
    registry,
)
from thinc.api import Config

from ..heads.tensors import check_archive, is_archive
from ..runtime.patterns import check_expression, split_branches
from ..runtime.plain_data import (
    AdvisedError,
    check_mapping,
    describe,
    is_size,
    read_json,
    read_msgpack,
    take,
)
from ..runtime.saved_layers import parse_layers
from .matcher_patterns import check_patterns
from .saved import read_part

CONFIG = "config.cfg"
MAX_FILES = 10_000
MAX_CONFIG = 2**20  # bytes of config.cfg, and characters of a value with its references replaced
# The kinds of registered functions that a saved pipeline calls while it is loaded. They compute
# with their arguments. Others read and write files, load other pipelines or start programs.
_KINDS = (
    "@annotation_setters",
    "@architectures",
    "@initializers",
    "@layers",
    "@scorers",
    "@span_getters",
    "@tokenizers",
    "@vectors",
)
_MISC = re.compile(
    r"spacy\.(ngram_(range_)?suggester|preset_spans_suggester|first_longest_spans_filter"
    r"|prioritize_(new|existing)_ents_filter|levenshtein_compare|EmptyKB"
    r"|Candidate(Batch)?Generator)\.v\d+"
)
# Layers that run a program from their saved state.
_PROGRAMS = re.compile(r".*(Wrapper|TorchScript|TensorFlow|MXNet|keras).*", re.IGNORECASE)
_CALLBACKS = ("before_creation", "after_creation", "after_pipeline_creation")
_LANGUAGE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NAME = re.compile(r"[^/\\\0]{1,200}")
_REFERENCE = re.compile(r"\$\{([^}]+)\}")
_MAX_DEPTH = 10
_NO_TREE = 2**32 - 1  # in the place of a tree of edits
_MAX_TREES = 1000  # in a tree
# Arguments that say how many layers a function builds, or how many lengths of spans it lists.
_COUNTS = re.compile(
    r"n|n_?layers?|(.*_)?(depth|depths|layers|blocks|groups|experts|stages|ngram_size|max_size)"
)
_MAX_LAYERS = 1000
# The texts of meta.json: those of spaCy, and the last two of this package.
_META_TEXTS = (
    "lang",
    "name",
    "version",
    "spacy_version",
    "description",
    "author",
    "email",
    "url",
    "license",
    "intended_use",
    "limits",
)
_REGEXES = ("prefix_search", "suffix_search", "infix_finditer", "token_match", "url_match")
_ADVICE = (
    "Nothing was loaded: code and paths in a model directory are never used. If you trust the "
    "pipeline, load it with spacy.load in a program of your own; the commands of this package do "
    "not"
)


def check_folder(folder: Path) -> None:
    """Check a model directory before it is loaded.

    folder (Path): The directory.
    RAISES (ValueError): If a file is a link out of the directory or no plain file, if config.cfg
        names code or paths, or if a file is damaged. The message names the file and the way out.
    """
    check_files(folder)
    config = read_config(folder / CONFIG)
    read_part(folder / CONFIG, lambda _: check_config(config))
    read_part(folder / "meta.json", _check_meta)
    lang = str(config["nlp"]["lang"])
    checks: dict[str, Callable[[bytes], None]] = {
        "tokenizer": partial(_check_tokenizer, lang),
        "vocab/strings.json": _check_strings,
        "vocab/vectors.cfg": _check_mapping,
        "vocab/lookups.bin": _check_msgpack,
        "vocab/key2row": _check_msgpack,
    }
    for name in config["nlp"]["pipeline"]:
        checks[f"{name}/model"] = _check_model
        checks[f"{name}/trees"] = _check_trees
        for file_name in ("patterns", "patterns.jsonl", "cfg"):
            checks[f"{name}/{file_name}"] = check_patterns
        # spaCy's entity ruler also reads a file beside its folder.
        checks[str(Path(name).with_suffix(".jsonl"))] = check_patterns
    for name, check in checks.items():
        path = folder / name
        if path.is_file():
            read_part(path, check)
        elif path.exists() and not name.endswith("patterns"):
            raise ValueError(f"{path}: is a folder; expected a file. {_ADVICE}")
    _check_vectors(folder / "vocab" / "vectors")


def check_files(folder: Path) -> None:
    """Check that a model directory holds plain files and no links out of it.

    folder (Path): The directory.
    RAISES (ValueError): If it does not.
    """
    root = folder.resolve()
    for number, path in enumerate(_walk(folder)):
        if number >= MAX_FILES:
            raise ValueError(f"{folder}: holds more than {MAX_FILES} files. Is it a pipeline?")
        if path.is_symlink() and not _is_inside(path, root):
            raise ValueError(
                f"{path}: is a link out of the model directory. Links are not followed, since the "
                "directory may come from others. Make a copy without links: `cp -rL`"
            )
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{path}: is neither a file nor a folder. Remove it")


def check_config(config: Config) -> None:
    """Check the config of a saved pipeline: no code, and no function that is not needed to load.

    config (Config): The config, with its references.
    RAISES (ValueError): If it does not pass.
    """
    _check_growth(config)
    try:
        replaced = config.interpolate()
    except Exception as err:  # the parser raises errors of many kinds
        raise ValueError(f"its references cannot be replaced ({describe(err)})") from err
    # A reference may name a whole block, or a function.
    for version in (config, replaced):
        _check_blocks(version)


def _check_blocks(config: Config) -> None:
    nlp = check_mapping(config.get("nlp"), "[nlp]")
    lang = nlp.get("lang")
    if not isinstance(lang, str) or not _LANGUAGE.fullmatch(lang):
        raise ValueError(f"[nlp] lang is {lang!r:.100}; expected the code of a language")
    if not registry.has("languages", lang) and find_spec(f"spacy.lang.{lang}") is None:
        raise ValueError(f"[nlp] lang is {lang!r:.100}, a language that spaCy does not have")
    components = check_mapping(config.get("components", {}), "[components]")
    pipeline = nlp.get("pipeline")
    if not isinstance(pipeline, list) or not all(map(components.__contains__, map(str, pipeline))):
        raise ValueError(f"[nlp] pipeline is {pipeline!r:.200}; expected a list of [components]")
    _check_nlp_settings(nlp)
    for name in _CALLBACKS:
        if nlp.get(name) is not None:
            raise AdvisedError(
                f"[nlp.{name}] names a function to call. Remove this block: a saved pipeline holds "
                f"its tokenizer. {_ADVICE}"
            )
    for name, component in components.items():
        _check_component(name, check_mapping(component, f"[components.{name}]"))
    _check_functions(nlp, "nlp", depth=0)
    _check_functions(components, "components", depth=0)


def _check_nlp_settings(nlp: Mapping[str, object]) -> None:
    batch_size = nlp.get("batch_size", 1)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"[nlp] batch_size is {batch_size!r:.100}; expected a number from 1 on")
    disabled = nlp.get("disabled", [])
    if not isinstance(disabled, list):
        raise ValueError(f"[nlp] disabled is {disabled!r:.100}; expected a list of components")


def _check_component(name: str, settings: Mapping[str, object]) -> None:
    if not _NAME.fullmatch(name) or name.strip(". ") == "":
        raise AdvisedError(f"[components] has the name {name!r:.200}, which is a path. {_ADVICE}")
    if "source" in settings:
        raise AdvisedError(
            f"[components.{name}] has a `source`, another pipeline to load. A saved pipeline has "
            f"none. {_ADVICE}"
        )
    if not isinstance(settings.get("factory"), str):
        raise ValueError(f"[components.{name}] names no `factory`")


def _check_functions(
    settings: Mapping[str, object], section: str, *, depth: int, n_layers: int = 1
) -> None:
    """Check the registered functions of a block and of the blocks in it."""
    if depth > 2 * _MAX_DEPTH:
        raise ValueError(f"[{section:.200}] is nested too deeply")
    for key, value in settings.items():
        if key.startswith("@"):
            _check_function(key, value, section)
    if any(key.startswith("@") for key in settings):
        n_layers *= _check_arguments(settings, section, _MAX_LAYERS // n_layers)
    for key, value in settings.items():
        for number, item in enumerate(_list_blocks(value)):
            name = f"{section}.{key}.{number}".removesuffix(".0")
            _check_functions(item, name, depth=depth + 1, n_layers=n_layers)


def _check_function(kind: str, name: object, section: str) -> None:
    if not isinstance(name, str):
        raise ValueError(f"[{section}] {kind} is {name!r:.100}; expected a name")
    is_known = kind in _KINDS or (kind == "@misc" and _MISC.fullmatch(name))
    if not is_known or (kind == "@layers" and _PROGRAMS.fullmatch(name)):
        raise AdvisedError(
            f"[{section}] names the function {kind} = {name!r:.100}, which is not called for a "
            f"saved pipeline. {_ADVICE}"
        )


def _check_arguments(arguments: Mapping[str, object], section: str, limit: int) -> int:
    """Check the arguments of a function: how many layers it builds, and where it cuts texts.

    limit (int): Maximum number of layers. It is lower within a function that copies its layers.
    RETURNS (int): The number of layers, from 1 on.
    """
    n_layers = 1
    for name, value in arguments.items():
        number = _count_layers(name, value)
        if number > limit:
            raise ValueError(
                f"[{section}] {name} is {value!r:.100}, so with the blocks around it there would "
                f"be more than {_MAX_LAYERS} layers. Use a lower number"
            )
        if "@span_getters" in arguments and name in ("window", "stride"):
            _check_from_1(name, value, section)
        n_layers = max(n_layers, int(number))
    return n_layers


def _count_layers(name: str, value: object) -> float:
    """Count the layers that a function builds because of an argument, 1 if there are none."""
    if isinstance(value, list | tuple) or (name == "*" and isinstance(value, dict)):
        return max(len(value), 1)
    number = _read_number(value)
    if number is not None and number > 1 and _COUNTS.fullmatch(name):
        return number
    return 1


def _check_from_1(name: str, value: object, section: str) -> None:
    number = _read_number(value)  # none of a reference
    if number is not None and number < 1:
        raise ValueError(f"[{section}] {name} is {value!r:.100}; expected a number from 1 on")


def _read_number(value: object) -> float | None:
    """Read a number. spaCy takes numbers in quotation marks, too."""
    if not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def _list_blocks(value: object, depth: int = 0) -> Iterator[Mapping[str, object]]:
    if isinstance(value, dict):
        yield {str(key): item for key, item in value.items()}
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        for item in value:
            yield from _list_blocks(item, depth + 1)


def _check_growth(config: Config) -> None:
    """Check that references between values do not make them large."""
    total = 0
    for _, value in _list_values(config):
        if isinstance(value, str):
            total += _measure(value, config, depth=0)
        if total > MAX_CONFIG:
            raise ValueError(
                f"its references (${{...}}) make it larger than {MAX_CONFIG} characters"
            )


def _measure(value: str, config: Config, *, depth: int) -> int:
    """Return the length of a value with its references replaced."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"its references (${{...}}) are nested more than {_MAX_DEPTH} deep")
    size = len(value)
    for match in _REFERENCE.finditer(value):
        for text in _find_texts(config, match.group(1)):
            size += _measure(text, config, depth=depth + 1)
            if size > MAX_CONFIG:
                return size
    return size


def _find_texts(config: Config, reference: str) -> list[str]:
    """Find the texts to which a reference refers, a value or a whole block."""
    found: object = config
    for part in re.split(r"[.:]", reference):
        if not isinstance(found, dict) or part not in found:
            return []
        found = found[part]
    if not isinstance(found, dict):
        return [str(found)]
    texts = []
    for key, value in _list_values(found):
        texts.append(f"{key}{value}")
    return texts


def _list_values(block: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in block.items():
        if isinstance(value, dict):
            yield from _list_values(value)
        else:
            yield key, value


def read_config(path: Path) -> Config:
    """Read the config of a pipeline, with its references.

    path (Path): The file.
    RETURNS (Config): The config.
    RAISES (ValueError): If there is no such file, or it is no config.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file, so its folder is no pipeline")
    if path.stat().st_size > MAX_CONFIG:
        raise ValueError(f"{path}: has more than {MAX_CONFIG} bytes. Is it the config of spaCy?")
    try:
        config: Config = load_config(path, interpolate=False)
    except Exception as err:  # the parser raises errors of many kinds
        raise ValueError(f"{path}: is no config of spaCy ({describe(err)})") from err
    return config


def _check_meta(content: bytes) -> None:
    meta = check_mapping(read_json(content), "its content")
    for name in _META_TEXTS:
        if not isinstance(meta.get(name), str | None):
            raise ValueError(f"{name!r} is {meta[name]!r:.100}; expected text")
    for name in ("vectors", "labels", "performance"):
        check_mapping(meta.get(name, {}), repr(name))
    sources = meta.get("sources") or []
    if not isinstance(sources, list):
        raise ValueError(f"'sources' is {sources!r:.100}; expected a list")
    for source in sources:
        values = [source]
        if isinstance(source, dict):
            values = [value for value in source.values() if value is not None]
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"'sources' has {source!r:.100}; expected text, or texts by name")


def _check_strings(content: bytes) -> None:
    strings = read_json(content)
    if not isinstance(strings, list):
        raise ValueError(f"it holds a {type(strings).__name__}; expected a list of texts")
    for string in strings:
        if not isinstance(string, str):
            raise ValueError(f"it holds {string!r:.100}; expected texts only")


def _check_mapping(content: bytes) -> None:
    check_mapping(read_json(content), "its content")


def _check_msgpack(content: bytes) -> None:
    read_msgpack(content)


def _check_tokenizer(lang: str, content: bytes) -> None:
    if not content:
        return  # a tokenizer without data, such as the Japanese one
    data = check_mapping(read_msgpack(content), "its content")
    for name in _REGEXES:
        pattern = data.get(name)
        if pattern is None:
            continue
        if not isinstance(pattern, str):
            raise ValueError(f"{name!r} is {pattern!r:.100}; expected a regular expression")
        own = partial(_list_own_branches, lang, name)
        check_expression(pattern, name, own)


def _list_own_branches(lang: str, name: str) -> list[str]:
    """List the alternatives of the regular expression that the language itself has."""
    defaults = get_lang_class(lang).Defaults
    makers = {
        "prefix_search": lambda: compile_prefix_regex(defaults.prefixes or ()).pattern,
        "suffix_search": lambda: compile_suffix_regex(defaults.suffixes or ()).pattern,
        "infix_finditer": lambda: compile_infix_regex(defaults.infixes or ()).pattern,
    }
    if name in makers:
        return split_branches(makers[name]())
    match = getattr(defaults, name)
    if match is None:
        return []
    return split_branches(match.__self__.pattern)


def _check_model(content: bytes) -> None:
    for shims in parse_layers(content)["shims"]:
        for data in shims:
            _check_module(data)


def _check_module(data: bytes) -> None:
    """Check the data of a module before spacy-transformers or thinc may load it."""
    message = check_mapping(read_msgpack(data), "a module")
    state = message.get("state")
    if is_archive(state):
        check_archive(cast(bytes, state))
    if "tokenizer" in message:
        # transformers takes seconds to import.
        from ..runtime.saved_encoder import check_encoder_data

        check_encoder_data(message)


def _check_trees(content: bytes) -> None:
    """Check the trees of edits of a lemmatizer, which spaCy follows without a limit."""
    saved = check_mapping(read_msgpack(content), "its content")
    trees = take(saved, "trees", list, "its content")
    branches = []
    for tree in trees:
        branches.append(_list_branches(check_mapping(tree, "a tree"), len(trees)))
    _measure_trees(branches)


def _list_branches(tree: Mapping[str, object], n_trees: int) -> list[int]:
    """List the trees to which a tree refers."""
    if "prefix_len" not in tree:  # it replaces a text
        return []
    branches = []
    for name in ("prefix_len", "suffix_len"):
        if not is_size(tree.get(name)):
            raise ValueError(f"{name!r} of a tree is {tree.get(name)!r:.100}; expected a length")
    for name in ("prefix_tree", "suffix_tree"):
        branch = tree.get(name)
        if branch == _NO_TREE:
            continue
        if not is_size(branch) or branch >= n_trees:
            raise ValueError(
                f"{name!r} of a tree is {branch!r:.100}; expected one of its {n_trees} trees"
            )
        branches.append(branch)
    return branches


def _measure_trees(branches: Sequence[Sequence[int]]) -> None:
    """Count the trees in each tree, itself included: a genuine one has two a letter at most."""
    sizes: dict[int, int] = {}
    open_trees: set[int] = set()
    for root in range(len(branches)):
        path = [root]
        while path:
            tree = path[-1]
            waiting = [branch for branch in branches[tree] if branch not in sizes]
            open_trees.add(tree)
            if not open_trees.isdisjoint(waiting):
                raise ValueError(f"its tree {tree} leads back to itself")
            if waiting:
                path.append(waiting[0])
                continue
            sizes[tree] = 1 + sum(map(sizes.__getitem__, branches[tree]))
            if sizes[tree] > _MAX_TREES:
                raise ValueError(f"its tree {tree} consists of more than {_MAX_TREES} trees")
            open_trees.discard(path.pop())


def _check_vectors(path: Path) -> None:
    """Check the table of word vectors: numbers, and no more than the file holds."""
    if not path.is_file():
        return
    try:
        # A map of the file takes no memory, and fails if the file is shorter than its header says.
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as err:  # numpy's reader of headers raises errors of many kinds
        raise ValueError(f"{path}: holds no table of word vectors ({describe(err)})") from err
    if table.dtype.kind != "f" or table.ndim != 2:
        raise ValueError(f"{path}: holds {table.dtype} numbers of shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{path}: holds numbers that are not finite (NaN or inf)")


def _is_inside(link: Path, root: Path) -> bool:
    """Check whether a link leads to something that is in a directory."""
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # of a link to nothing, or to itself
        return False


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            yield Path(parent) / name
