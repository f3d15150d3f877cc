"""The encoder that other components listen to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged

if TYPE_CHECKING:
    from spacy_transformers.data_classes import FullTransformerBatch, HFObjects

    from ..runtime.encoder_shim import EncoderShim

NAME = "spacy-tabcnn.TransformerModel.v1"
TOK2VEC_NAME = "spacy-tabcnn.Tok2VecTransformer.v1"
# Settings by which transformers runs code from files.
_CODE = ("trust_remote_code", "auto_map")


def build_encoder(
    name: str,
    get_spans: Callable[[list[Doc]], list[list[Span]]],
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    mixed_precision: bool = False,
    frozen: bool = False,
    all_layers: bool = False,
    cache_mb: int | None = 0,
    onednn: bool = True,
) -> "Model[list[Doc], FullTransformerBatch]":
    """Build an encoder. Registered as `spacy-tabcnn.TransformerModel.v1`.

    It takes the place of `spacy-transformers.TransformerModel.v3` and gives the same output.

    On a CPU, sequences of similar length are encoded together, with little padding. On any device,
    mixed precision is bfloat16. The output holds the encoder's outputs for each sub-word, not
    BERT's pooled output.

    name (str): Name on the Hugging Face hub, or a local folder.
    get_spans (Callable): Cuts documents into the spans to encode.
    tokenizer_config (dict | None): Settings of the tokenizer.
    transformer_config (dict | None): Settings of the encoder; {"num_hidden_layers": l} truncates it
        to layer l.
    mixed_precision (bool): Compute matrix products in bfloat16 where the device is faster in it.
        Prediction keeps a copy of the weights of linear layers in bfloat16, half their memory.
    frozen (bool): Keep the weights as they are in training: no backward pass, no dropout within the
        encoder. Unlike a component in `frozen_components`, which spaCy does not initialise, it
        needs no other setting.
    all_layers (bool): Pass on the outputs of all layers, the embeddings' first, side by side:
        (layers + 1) times the width. Every listener then needs `spacy-tabcnn.mix_layers.v1` or the
        like as its pooling.
    cache_mb (int | None): Maximum size of the output to keep, in megabytes. A sequence whose output
        is kept is not encoded again as long as the weights stay the same: for a frozen encoder,
        which otherwise encodes the corpus in every epoch. 0 for no cache. null: in training, as
        much as the corpora need, but at most half of the memory that is free on the device.
    onednn (bool): Let oneDNN compute matrix products on CPUs where it is faster.
    RETURNS (Model[list[Doc], FullTransformerBatch]): The encoder.
    RAISES (ValueError): If cache_mb is negative, or a setting runs code of the encoder's folder.
    """
    # spaCy may load this function only to list registered names, and these imports take seconds.
    from spacy_transformers.data_classes import HFObjects
    from spacy_transformers.layers import TransformerModel

    from ..runtime.encoder_shim import EncoderShim
    from . import encoder_forward

    if cache_mb is not None and cache_mb < 0:
        raise ValueError(f"{NAME}: cache_mb is {cache_mb}; expected 0 (no cache) or more")
    tokenizer_config = dict(tokenizer_config or {})
    transformer_config = dict(transformer_config or {})
    _check_no_code({**tokenizer_config, **transformer_config})
    # transformers would ask the user whether to run the code.
    tokenizer_config["trust_remote_code"] = False
    transformer_config["trust_remote_code"] = False
    model = TransformerModel(name, get_spans, tokenizer_config, transformer_config)
    shim = EncoderShim(
        HFObjects(None, None, None, tokenizer_config, transformer_config),
        use_bfloat16=mixed_precision,
        onednn=onednn,
        frozen=frozen,
        all_layers=all_layers,
        cache_size=None if cache_mb is None else cache_mb * 2**20,
    )
    _replace_shim(model, shim)
    model._func = encoder_forward.forward
    model.layers[0].attrs["convert_inputs"] = encoder_forward.convert_inputs
    model.attrs["set_transformer"] = _set_transformer
    model.attrs["replace_listener_cfg"] = _replace_listener_cfg
    return model


def build_tok2vec_encoder(
    name: str,
    get_spans: Callable[[list[Doc]], list[list[Span]]],
    pooling: Model[Ragged, Floats2d],
    grad_factor: float = 1.0,
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    mixed_precision: bool = False,
    frozen: bool = False,
    all_layers: bool = False,
    cache_mb: int | None = 0,
    onednn: bool = True,
) -> Model[list[Doc], list[Floats2d]]:
    """Build an encoder with pooling. Registered as `spacy-tabcnn.Tok2VecTransformer.v1`.

    It is the encoder of one component, which no other component shares. spaCy's `replace_listeners`
    makes it of a listener to `spacy-tabcnn.TransformerModel.v1`.

    name (str): Name on the Hugging Face hub, or a local folder.
    get_spans (Callable): Cuts documents into the spans to encode.
    pooling (Model[Ragged, Floats2d]): Makes one vector of the sub-words of a word.
    grad_factor (float): Factor of the gradient that the encoder gets; 0 trains no encoder.
    tokenizer_config (dict | None): Settings of the tokenizer.
    transformer_config (dict | None): Settings of the encoder.
    mixed_precision (bool): As in `spacy-tabcnn.TransformerModel.v1`, and the following ones, too.
    frozen (bool): Keep the weights as they are in training.
    all_layers (bool): Pass on the outputs of all layers, side by side.
    cache_mb (int | None): Maximum size of the output to keep, in megabytes; 0 for no cache.
    onednn (bool): Let oneDNN compute matrix products on CPUs where it is faster.
    RETURNS (Model[list[Doc], list[Floats2d]]): Embeddings of words, (words, width) a document.
    """
    from spacy_transformers.layers import trfs2arrays
    from spacy_transformers.layers.split_trf import split_trf_batch

    encoder = build_encoder(
        name,
        get_spans,
        tokenizer_config,
        transformer_config,
        mixed_precision,
        frozen,
        all_layers,
        cache_mb,
        onednn,
    )
    # A chain in a chain, as `replace_listeners` makes it.
    return chain(chain(encoder, split_trf_batch()), trfs2arrays(pooling, grad_factor))


def _check_no_code(settings: dict[str, Any]) -> None:
    for setting in _CODE:
        if settings.get(setting):
            raise ValueError(
                f"{NAME}: the setting {setting} would run code from the folder of the encoder, "
                "which this package never does. Remove it, and choose an encoder of a type that "
                "the installed transformers knows"
            )


def _replace_shim(model: Model, shim: "EncoderShim") -> None:
    """Replace spacy-transformers' shim of an encoder that is not loaded yet.

    RAISES (RuntimeError): If the model is not built as expected.
    """
    from spacy_transformers.layers.hf_shim import HFShim

    shims = [old for layer in model.layers for old in layer.shims]
    if len(shims) != 1 or type(shims[0]) is not HFShim:
        found = [type(old).__name__ for old in shims]
        raise RuntimeError(
            f"{NAME}: expected a spacy-transformers model with one HFShim, to replace it by this "
            f"package's EncoderShim; found the shims {found}. Install a version of "
            "spacy-transformers that this package supports"
        )
    model.layers[0].shims[0] = shim


def _set_transformer(model: Model, objects: "HFObjects") -> None:
    """Put a loaded encoder into the model, and set the width of its output."""
    from spacy_transformers.layers.transformer_model import set_pytorch_transformer

    from ..runtime.saved_encoder import check_length

    set_pytorch_transformer(model, objects)
    shim: Any = model.layers[0].shims[0]
    shim.set_module(objects.transformer)
    check_length(objects.tokenizer, objects.transformer)
    if shim.all_layers:
        config = objects.transformer.config
        model.set_dim("nO", config.hidden_size * (config.num_hidden_layers + 1), force=True)


def _replace_listener_cfg(encoder: dict[str, Any], tok2vec: dict[str, Any]) -> dict[str, Any]:
    """Make the config of an encoder with its pooling, which spaCy's `replace_listeners` builds.

    tok2vec (dict): The word embeddings of the component, which are the listener, or join it with
        other embeddings.
    """
    listener = _find_listener(tok2vec)
    replaced = {**encoder, "@architectures": TOK2VEC_NAME, "pooling": listener["pooling"]}
    if "grad_factor" in listener:
        replaced["grad_factor"] = listener["grad_factor"]
    return replaced


def _find_listener(section: dict[str, Any]) -> dict[str, Any]:
    """Find the section of a listener, the one with a pooling, in the config of word embeddings.

    RAISES (ValueError): If there is none, or several.
    """
    sections, found = [section], []
    while sections:
        section = sections.pop()
        if "pooling" in section:
            found.append(section)
        else:
            sections += [value for value in section.values() if isinstance(value, dict)]
    if len(found) != 1:
        raise ValueError(
            f"{TOK2VEC_NAME}: expected one listener in the word embeddings of the component, found "
            f"{len(found)}, so it cannot get the encoder of its own"
        )
    return found[0]
