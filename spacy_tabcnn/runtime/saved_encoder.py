"""An encoder and its tokenizer as bytes: plain data and numbers, which run no code."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import srsly
import torch
from spacy_transformers.data_classes import HFObjects
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    logging,
)
from transformers.modeling_utils import no_init_weights

from ..heads.tensors import check_fit, dump_tensors, is_archive, load_tensors, parse_tensors
from .plain_data import (
    ADVICE,
    ENCODER_FILE,
    AdvisedError,
    check_mapping,
    describe,
    read_msgpack,
)
from .tokenizer_files import check_tokenizer, load_tokenizer, save_tokenizer

# Settings that name code, or files and models to read or to download.
_CODE = (
    "auto_map",
    "trust_remote_code",
    "custom_pipelines",
    "quantization_config",
    "backbone",
    "backbone_config",
    "use_timm_backbone",
    "use_pretrained_backbone",
)
# Settings that say where the encoder came from, and that no part of it reads.
_ORIGIN = ("_name_or_path", "name_or_path", "_commit_hash", "transformers_version")
_ATTENTIONS = ("eager", "sdpa")
_ATTENTION_KEYS = ("_attn_implementation", "attn_implementation", "_attn_implementation_internal")
_PRECISIONS = ("float16", "bfloat16", "float32", "float64")
# Numbers of layers, heads and the like: `n_layer`, `num_hidden_layers`, `block_sizes`, `depths`.
_COUNTS = re.compile(r".*(layer|group|block|head|expert|stage|depth).*(?<!_size)(?<!_dim)")
_MAX_COUNT = 1000  # of layers, heads and the like, and of the items of a list
_MAX_MODULES = 20_000  # of an encoder; one with 24 layers has 500
_MAX_SIZE = 2**20  # of a dimension that no weight has
_MAX_DEPTH = 6


def save_encoder(objects: HFObjects, module: nn.Module | None) -> bytes:
    """Return an encoder and its tokenizer as bytes.

    objects (HFObjects): The tokenizer; its settings are in the pipeline's config.
    module (Module | None): The encoder; None if the pipeline was not initialised.
    RETURNS (bytes): The bytes.
    """
    message: dict[str, object] = {"config": {}, "state": b"", "tokenizer": {}}
    if module is not None and objects.tokenizer is not None:
        config = cast(PretrainedConfig, module.config).to_dict()
        # The precision of the weights, which the config of a hub's encoder may not say.
        config["torch_dtype"] = _name_precision(module)
        message["config"] = _drop(config, (*_CODE, *_ORIGIN))
        message["state"] = dump_tensors(module)
        message["tokenizer"] = save_tokenizer(objects.tokenizer, objects.vocab_file_contents)
    data: bytes = srsly.msgpack_dumps(message)
    return data


def load_encoder(data: bytes) -> HFObjects | None:
    """Read an encoder and its tokenizer from bytes, on the CPU.

    data (bytes): The bytes that `save_encoder` returned, which are not trusted.
    RETURNS (HFObjects | None): The encoder and its tokenizer; None if the pipeline was not
        initialised.
    RAISES (ValueError): If the bytes are damaged, name code, paths or unknown files, or if weights,
        config and tokenizer do not fit.
    """
    try:
        return _load(data)
    except ValueError as err:
        raise AdvisedError(f"{ENCODER_FILE}: {err}. {ADVICE}") from err


def check_encoder_data(message: dict[str, object]) -> None:
    """Check the data of an encoder before spacy-transformers may load it.

    Its encoders write each file of their tokenizer, run code that a setting names, and take as much
    memory as a config says. Encoders of this package check their data themselves.

    message (dict[str, object]): The data of the encoder, which is not trusted.
    RAISES (ValueError): If it names code, paths or unknown files, or says more than it holds.
    """
    for name in ("_init_tokenizer_config", "_init_transformer_config"):
        settings = check_mapping(message.get(name, {}), f"{name!r} of an encoder")
        _check_values(settings, set(), depth=0)
    if not message.get("config"):
        return
    settings = check_config(check_mapping(message["config"], "the config of an encoder"), {})
    check_tokenizer(check_mapping(message.get("tokenizer"), "the tokenizer of an encoder"))
    state = message.get("state")
    if is_archive(state):
        _check_memory(settings, len(cast(bytes, state)))


def _check_memory(settings: dict[str, object], n_bytes: int) -> None:
    """Check that an encoder needs no more memory than its saved weights."""
    try:
        config = CONFIG_MAPPING[str(settings["model_type"])].from_dict(settings)
        with torch.device("meta"), no_init_weights(), _limit_modules():
            module = AutoModel.from_config(config, trust_remote_code=False)
    except Exception as err:  # transformers' classes check few of their settings
        raise ValueError(f"no encoder can be made of its config ({describe(err)})") from err
    needed = 0
    for parameter in module.parameters():
        needed += parameter.nbytes
    if needed > 4 * n_bytes:  # weights in float16 of an encoder in float32 take half
        raise ValueError(f"an encoder of its config has {needed} bytes, but {n_bytes} are saved")


def check_length(tokenizer: PreTrainedTokenizerBase, module: nn.Module) -> None:
    """Set the maximum number of sub-words of a sequence to the number that the encoder takes.

    A tokenizer may state none, or more. spacy-transformers cuts longer sequences.

    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    module (Module): The encoder.
    """
    limit = _count_positions(module)
    if limit is not None and tokenizer.model_max_length > limit:
        tokenizer.model_max_length = limit


def _load(data: bytes) -> HFObjects | None:
    message = check_mapping(read_msgpack(data), "its data")
    settings = check_mapping(message.get("config"), "its config")
    if not settings:
        return None
    tensors = parse_tensors(message.get("state"))
    settings = check_config(settings, tensors)
    module = _make_module(settings, tensors)
    tokenizer, vocabulary = load_tokenizer(message.get("tokenizer"), settings)
    check_length(tokenizer, module)
    _try(module, tokenizer)
    return HFObjects(tokenizer, module, vocabulary)


def check_config(settings: dict[str, object], tensors: Mapping[str, Tensor]) -> dict[str, object]:
    """Check the config of an encoder: no code, a known type, sizes that the weights can have.

    settings (dict[str, object]): The config, which is not trusted.
    tensors (Mapping[str, Tensor]): The weights.
    RETURNS (dict[str, object]): The config without its origin.
    RAISES (ValueError): If a setting is refused.
    """
    sizes: set[int] = set()
    for tensor in tensors.values():
        sizes.update(tensor.shape)
    _check_values(settings, sizes, depth=0)
    kind = settings.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(
            f"its config names the type {kind!r:.100}, which the installed transformers does not "
            "know. If the encoder is of a newer type, install a newer version; code from a model "
            "directory is never run"
        )
    kept = _drop(settings, _ORIGIN)
    precision = kept.get("torch_dtype")
    if precision is not None and precision not in _PRECISIONS:
        raise ValueError(
            f"its config has torch_dtype = {precision!r:.100}; expected one of "
            f"{', '.join(_PRECISIONS)}"
        )
    return kept


def _check_values(settings: dict[str, object], sizes: set[int], *, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("its config is nested too deeply")
    for name, value in settings.items():
        if name in _CODE and value:
            raise ValueError(
                f"its config has the setting {name!r}, which names code, files or other models. "
                f"Code from a model directory is never run"
            )
        if name in _ATTENTION_KEYS and value is not None and value not in _ATTENTIONS:
            raise ValueError(
                f"its config has {name} = {value!r:.100}; expected one of {', '.join(_ATTENTIONS)}"
            )
        _check_value(name, value, sizes, depth=depth)


def _check_value(name: str, value: object, sizes: set[int], *, depth: int) -> None:
    if isinstance(value, dict):
        nested = {str(key): item for key, item in value.items()}
        _check_values(nested, sizes, depth=depth + 1)
    elif isinstance(value, list):
        _check_list(name, value, sizes, depth=depth + 1)
    else:
        _check_number(name, value, sizes)


def _check_list(name: str, values: list[object], sizes: set[int], *, depth: int) -> None:
    """Check a list, such as the numbers of layers of several stages."""
    if depth > _MAX_DEPTH or len(values) > _MAX_COUNT:
        raise ValueError(
            f"its config has the list {name!r:.100} of {len(values)} items, nested {depth} deep; "
            f"the limits are {_MAX_COUNT} and {_MAX_DEPTH}"
        )
    for value in values:
        _check_value(name, value, sizes, depth=depth)
    if _COUNTS.fullmatch(name):
        _check_number(name, sum(value for value in values if isinstance(value, int)), sizes)


def _check_number(name: str, value: object, sizes: set[int]) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"its config has {name} = {value}; expected a finite number")
    if not isinstance(value, int) or name.endswith(("_id", "_ids")) or value in sizes:
        return
    limit = _MAX_SIZE
    if _COUNTS.fullmatch(name):
        limit = _MAX_COUNT
    if value > limit:
        raise ValueError(
            f"its config has {name} = {value}; no weight has this size, and the limit is {limit}"
        )


def _make_module(settings: dict[str, object], tensors: dict[str, Tensor]) -> PreTrainedModel:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        config = CONFIG_MAPPING[str(settings["model_type"])].from_dict(settings)
        _check_sizes(config, tensors)
        precision = getattr(torch, str(settings.get("torch_dtype") or "float32"))
        with _limit_modules():
            module: PreTrainedModel = AutoModel.from_config(
                config, torch_dtype=precision, trust_remote_code=False
            )
        load_tensors(module, tensors)
    except ValueError:
        raise
    except Exception as err:  # transformers' classes check few of their settings
        raise ValueError(f"no encoder can be made of its config ({describe(err)})") from err
    finally:
        logging.set_verbosity(verbosity)
    return module


def _check_sizes(config: PretrainedConfig, tensors: Mapping[str, Tensor]) -> None:
    """Check that the weights fit a config, before memory is taken for it."""
    try:
        with torch.device("meta"), no_init_weights(), _limit_modules():
            module = AutoModel.from_config(config, trust_remote_code=False)
    except RuntimeError as err:
        if "meta" in str(err):  # an encoder that computes with its buffers while it is made
            return
        raise
    check_fit(module, tensors)


@contextmanager
def _limit_modules() -> Iterator[None]:
    """Refuse an encoder of a great many modules while it is made."""
    n_modules = 0

    def count(*arguments: object) -> None:
        nonlocal n_modules
        n_modules += 1
        if n_modules > _MAX_MODULES:
            raise ValueError(f"an encoder of its config has more than {_MAX_MODULES} modules")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _try(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Encode a short text, so that files that do not fit together are refused before use."""
    embeddings = module.get_input_embeddings()
    rows = getattr(embeddings, "num_embeddings", None)
    highest = max(tokenizer.get_vocab().values(), default=0)
    if rows is not None and highest >= rows:
        raise ValueError(
            f"its tokenizer has a sub-word of index {highest}, but its encoder has embeddings of "
            f"{rows} sub-words only"
        )
    module.eval()
    try:
        with torch.no_grad():
            inputs = _encode_text(tokenizer)
            output = module(**inputs).last_hidden_state
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as err:  # a panic of the tokenizers' Rust code is no Exception
        raise ValueError(f"it fails on a first text ({describe(err)})") from err
    n_subwords = inputs["input_ids"].shape[1]
    expected = (1, n_subwords, module.config.hidden_size)
    if tuple(output.shape) != expected:
        raise ValueError(f"its output has the shape {tuple(output.shape)}; expected {expected}")
    if not torch.isfinite(output).all():
        raise ValueError("its output for a first text is not finite (NaN or inf)")


def _encode_text(tokenizer: PreTrainedTokenizerBase) -> dict[str, Tensor]:
    text = "A text."
    if not tokenizer.is_fast:
        encoding = tokenizer(text, return_tensors="pt")
        return {name: encoding[name] for name in encoding if name in tokenizer.model_input_names}
    # A batch would start the threads of the tokenizers, which a fork of this process lacks.
    fast = tokenizer.backend_tokenizer.encode(text)
    inputs = {
        "input_ids": torch.tensor([fast.ids], dtype=torch.long),
        "attention_mask": torch.ones(1, len(fast.ids)),
    }
    if "token_type_ids" in tokenizer.model_input_names:
        inputs["token_type_ids"] = torch.tensor([fast.type_ids], dtype=torch.long)
    return inputs


def _count_positions(module: nn.Module) -> int | None:
    """Count the sub-words that an encoder with learned positions takes; None without limit."""
    found = []
    for name, layer in module.named_modules():
        is_table = name.rpartition(".")[2] in _POSITION_TABLES
        if is_table and isinstance(layer, nn.Embedding):
            found.append(_count_rows(layer))
    if not found:
        return None
    stated = getattr(module.config, "max_position_embeddings", None)
    if isinstance(stated, int) and stated > 0:
        found.append(stated)
    return max(min(found), 1)


# Names of tables of positions. Tables of relative positions have other names.
_POSITION_TABLES = ("position_embeddings", "embed_positions", "word_position_embeddings", "wpe")


def _count_rows(table: nn.Embedding) -> int:
    """Count the positions of a table. RoBERTa's begin after the index of the padding."""
    if table.padding_idx is None:
        return table.num_embeddings
    return table.num_embeddings - table.padding_idx - 1


def _name_precision(module: nn.Module) -> str:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return str(parameter.dtype).removeprefix("torch.")
    return "float32"


def _drop(settings: Mapping[str, object], names: tuple[str, ...]) -> dict[str, object]:
    """Return settings without some names, in nested settings, too."""
    kept: dict[str, object] = {}
    for name, value in settings.items():
        if name in names:
            continue
        if isinstance(value, dict):
            value = _drop(value, names)
        kept[name] = value
    return kept
