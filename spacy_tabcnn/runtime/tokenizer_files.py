"""The encoder's tokenizer as plain data: known files, harmless settings, no code."""

import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .patterns import find_slow_part
from .plain_data import check_mapping, describe, read_json

# Files of data of the tokenizers of transformers. No name has a separator of paths.
FILES = frozenset(
    [
        "added_tokens.json",
        "bpe.codes",
        "dict.txt",
        "emoji.json",
        "entity_vocab.json",
        "merges.txt",
        "normalizer.json",
        "prophetnet.tokenizer",
        "sentencepiece.bpe.model",
        "sentencepiece.model",
        "source.spm",
        "special_tokens_map.json",
        "spiece.model",
        "spm.model",
        "spm_char.model",
        "target.spm",
        "target_vocab.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab-src.json",
        "vocab-tgt.json",
        "vocab.bpe",
        "vocab.json",
        "vocab.txt",
        "word_pronunciation.json",
        "word_shape.json",
    ]
)
# Files that hold no part of the way from a text to sub-words.
_LEFT_OUT = re.compile(r"chat_template.*|README\.md|.*\.py[co]?|config\.json")
# Settings in tokenizer_config.json that are numbers, truth values, texts or tokens. Not among them
# are names of files and of code (`auto_map`), and templates.
_SETTINGS = frozenset(
    [
        "tokenizer_class",
        "model_max_length",
        "max_len",
        "do_lower_case",
        "do_basic_tokenize",
        "never_split",
        "strip_accents",
        "tokenize_chinese_chars",
        "clean_up_tokenization_spaces",
        "add_prefix_space",
        "trim_offsets",
        "padding_side",
        "truncation_side",
        "pad_token",
        "unk_token",
        "cls_token",
        "sep_token",
        "mask_token",
        "bos_token",
        "eos_token",
        "additional_special_tokens",
        "added_tokens_decoder",
        "add_bos_token",
        "add_eos_token",
        "errors",
        "keep_accents",
        "remove_space",
        "split_by_punct",
        "vocab_type",
        "normalization",
        "split_special_tokens",
        "legacy",
        "do_word_tokenize",
        "do_subword_tokenize",
        "word_tokenizer_type",
        "subword_tokenizer_type",
        "model_input_names",
        "lowercase",
        "lower_case",
        "do_lowercase_and_remove_accent",
        "lang2id",
        "id2lang",
        "src_lang",
        "tgt_lang",
        "source_lang",
        "target_lang",
        "sp_model_kwargs",
        "remove_space",
        "do_remove_accents",
        "unk_id",
        "extra_ids",
        "add_dummy_prefix_space",
        "spaces_between_special_tokens",
        "from_slow",
        "task",
        "max_entity_length",
        "max_mention_length",
        "entity_token_1",
        "entity_token_2",
        "entity_unk_token",
        "entity_pad_token",
        "entity_mask_token",
        "entity_mask2_token",
    ]
)
_SENTENCEPIECE = frozenset(("enable_sampling", "nbest_size", "alpha"))
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines")
_CLASS = re.compile(r"[A-Za-z0-9_]+Tokenizer(Fast)?")
_MAX_TEXT = 10_000
# Length to which normalisation may enlarge a character.
_MAX_GROWTH = 1000
_REPLACE = ("Replace", "Prepend")

TokenizerData = dict[str, object]


def save_tokenizer(
    tokenizer: PreTrainedTokenizerBase, vocab_file_contents: bytes | None
) -> TokenizerData:
    """Return a tokenizer as plain data.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    vocab_file_contents (bytes | None): The content of its vocabulary file, if it reads one.
    RETURNS (dict): Its settings in "kwargs", and its files by name.
    """
    data: TokenizerData = {"kwargs": {"use_fast": tokenizer.is_fast}}
    with TemporaryDirectory() as name:
        folder = Path(name)
        if hasattr(tokenizer, "vocab_file") and vocab_file_contents is not None:
            path = folder / tokenizer.vocab_files_names["vocab_file"]
            path.write_bytes(vocab_file_contents)
            tokenizer.vocab_file = str(path)
        tokenizer.save_pretrained(name)
        for path in sorted(folder.iterdir()):
            if path.name in FILES:
                data[path.name] = path.read_bytes()
            elif not _LEFT_OUT.fullmatch(path.name):
                warnings.warn(
                    f"The encoder's tokenizer writes a file {path.name!r}, which is not saved, "
                    "since it is no known file of data. Check that a loaded pipeline cuts texts "
                    "into the same sub-words",
                    stacklevel=2,
                )
    config = data.get("tokenizer_config.json")
    if isinstance(config, bytes):
        data["tokenizer_config.json"] = _dump(_keep_settings(json.loads(config)))
    return data


def load_tokenizer(
    data: object, config: Mapping[str, object]
) -> tuple[PreTrainedTokenizerBase, bytes | None]:
    """Make a tokenizer of plain data.

    data (object): The data that `save_tokenizer` returned, which is not trusted.
    config (Mapping): The encoder's config, already checked.
    RETURNS (tuple): The tokenizer, and the content of its vocabulary file, if it reads one.
    RAISES (ValueError): If the data names code, an unknown file or a path, or makes no tokenizer.
    """
    entry = check_mapping(data, "the tokenizer")
    check_tokenizer(entry)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_bytes(_dump(config))
        for file_name in FILES & entry.keys():
            content = entry[file_name]
            if file_name == "tokenizer_config.json":
                content = _dump(_keep_settings(_parse(entry, file_name)))
            elif file_name == "tokenizer.json":
                content = _drop_lengths(_as_bytes(content, file_name), _parse(entry, file_name))
            (folder / file_name).write_bytes(_as_bytes(content, file_name))
        tokenizer = _make_tokenizer(folder, use_fast=_reads_fast(entry))
        return tokenizer, _read_vocabulary(tokenizer, folder)


def check_tokenizer(entry: dict[str, object]) -> None:
    """Check that the plain data of a tokenizer names no code, no path and no unknown file.

    entry (dict[str, object]): The data.
    RAISES (ValueError): If it does.
    """
    _check_arguments(check_mapping(entry.get("kwargs", {}), "the tokenizer's 'kwargs'"))
    for name in entry.keys() - {"kwargs"}:
        if name not in FILES:
            raise ValueError(
                f"its tokenizer has a file {name!r:.200}, which is no known file of a tokenizer. "
                f"{_ADVICE}"
            )
        _as_bytes(entry[name], name)
    for name, check in _CHECKS.items():
        if name in entry:
            check(_parse(entry, name))


def _check_arguments(arguments: Mapping[str, object]) -> None:
    """Check the arguments with which transformers loads a tokenizer."""
    for name, value in arguments.items():
        if name in _CODE:
            raise ValueError(
                f"its tokenizer has the setting {name!r}, which can run code from files. {_ADVICE}"
            )
        if name != "use_fast" or not isinstance(value, bool):
            raise ValueError(
                f"its tokenizer has the setting {name!r} = {value!r:.100}; expected only "
                f"'use_fast' = true or false. {_ADVICE}"
            )


def _check_tokens(tokens: Mapping[str, object]) -> None:
    """Check the content of special_tokens_map.json."""
    for name, value in tokens.items():
        if not _is_plain(value):
            raise ValueError(f"special_tokens_map.json of its tokenizer: {name!r} is no token")


_ADVICE = "Code and paths in a model directory are never used"


def _check_settings(settings: Mapping[str, object]) -> None:
    """Check the settings in tokenizer_config.json that are used."""
    for name in _CODE:
        if settings.get(name):
            raise ValueError(
                f"tokenizer_config.json of its tokenizer has {name!r}, which names code. {_ADVICE}"
            )
    kind = settings.get("tokenizer_class")
    if kind is not None and not (isinstance(kind, str) and _CLASS.fullmatch(kind)):
        raise ValueError(
            f"tokenizer_config.json of its tokenizer: tokenizer_class is {kind!r:.100}; expected "
            f"a class of transformers. {_ADVICE}"
        )
    for name in _SETTINGS & settings.keys():
        if not _is_plain(settings[name]):
            raise ValueError(
                f"tokenizer_config.json of its tokenizer: {name!r} is {settings[name]!r:.100}; "
                "expected a number, a truth value, a text or tokens"
            )
    _check_max_length(settings.get("model_max_length"))


def _check_max_length(length: object) -> None:
    if length is not None and not (isinstance(length, int | float) and length >= 4):
        raise ValueError(
            f"tokenizer_config.json of its tokenizer: model_max_length is {length!r:.100}; "
            "expected a number of sub-words, at least 4"
        )


def _check_rules(rules: object) -> None:
    """Check the rules in tokenizer.json for regular expressions and growth without bounds."""
    growth = 1
    waiting = [rules]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
            continue
        if not isinstance(value, dict):
            continue
        waiting.extend(value.values())
        pattern = value.get("Regex")
        if isinstance(pattern, str):
            _check_pattern(pattern)
        if value.get("type") in _REPLACE:
            growth *= max(1, len(str(value.get("content", value.get("prepend", "")))))
    if growth > _MAX_GROWTH:
        raise ValueError(
            f"tokenizer.json of its tokenizer enlarges a text {growth} times; expected at most "
            f"{_MAX_GROWTH} times. {_ADVICE}"
        )


def _check_pattern(pattern: str) -> None:
    part = find_slow_part(pattern)
    if part is not None:
        raise ValueError(
            "tokenizer.json of its tokenizer has a regular expression that may take a time beyond "
            f"all bounds: {part!r:.100}. {_ADVICE}"
        )


_CHECKS: dict[str, Callable[[dict[str, object]], None]] = {
    "tokenizer_config.json": _check_settings,
    "tokenizer.json": _check_rules,
    "special_tokens_map.json": _check_tokens,
}


def _keep_settings(settings: Mapping[str, object]) -> dict[str, object]:
    kept = {}
    for name in _SETTINGS & settings.keys():
        kept[name] = settings[name]
    options = kept.get("sp_model_kwargs")
    if isinstance(options, dict):
        kept["sp_model_kwargs"] = {name: options[name] for name in _SENTENCEPIECE & options.keys()}
    return kept


def _drop_lengths(content: bytes, rules: dict[str, object]) -> bytes:
    """Remove padding and truncation from tokenizer.json: a large number there ends the process.

    Each batch sets its own. The sides are settings in tokenizer_config.json.
    """
    if rules.get("padding") is None and rules.get("truncation") is None:
        return content
    return _dump({**rules, "padding": None, "truncation": None})


def _is_plain(value: object, depth: int = 0) -> bool:
    """Check whether a setting is a number, a truth value, a text, or a few of them."""
    if value is None or isinstance(value, bool | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    if depth == 3:
        return False
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return all(_is_plain(item, depth + 1) for item in value.values())
    return False


def _make_tokenizer(folder: Path, *, use_fast: bool) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), use_fast=use_fast, trust_remote_code=False, local_files_only=True
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as err:  # a panic of the tokenizers' Rust code is no Exception
        reason = describe(err).replace(str(folder), "the tokenizer's files")
        raise ValueError(f"its tokenizer cannot be made of its files ({reason})") from err
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ValueError(f"its tokenizer is a {type(tokenizer).__name__}; expected a tokenizer")
    return tokenizer


def _read_vocabulary(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bytes | None:
    """Read the file that a slow tokenizer needs again to be saved."""
    if not hasattr(tokenizer, "vocab_file"):
        return None
    path = folder / tokenizer.vocab_files_names["vocab_file"]
    if not path.is_file():
        return None
    return path.read_bytes()


def _reads_fast(entry: Mapping[str, object]) -> bool:
    settings = entry.get("kwargs")
    return not isinstance(settings, dict) or bool(settings.get("use_fast", True))


def _parse(entry: Mapping[str, object], name: str) -> dict[str, object]:
    try:
        return check_mapping(read_json(_as_bytes(entry[name], name)), "the file")
    except ValueError as err:
        raise ValueError(f"{name} of its tokenizer: {err}") from err


def _as_bytes(content: object, name: str) -> bytes:
    if not isinstance(content, bytes):
        raise ValueError(
            f"the file {name!r} of its tokenizer is a {type(content).__name__}; expected bytes"
        )
    return content


def _dump(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")
