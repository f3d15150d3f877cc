"""The encoder that other components listen to."""

from collections.abc import Callable
from typing import Any, cast

from spacy.tokens import Doc, Span
from thinc.api import Model

OWN_SETTINGS = ("frozen", "all_layers", "cache_mb")


def build_encoder(
    name: str,
    get_spans: Callable[[list[Doc]], list[list[Span]]],
    tokenizer_config: dict[str, Any] | None = None,
    transformer_config: dict[str, Any] | None = None,
    mixed_precision: bool = False,
    frozen: bool = False,
    all_layers: bool = False,
    cache_mb: int = 0,
) -> Model[list[Doc], Any]:
    """Build an encoder that takes the place of `spacy-transformers.TransformerModel.v3` and gives the same output.
    Registered as `spacy-tabcnn.TransformerModel.v1`.

    On a CPU, sequences of similar length are encoded together, so that little padding is; on any device, mixed
    precision is bfloat16. Only what the encoder computes for each sub-word is passed on, not BERT's pooled output.

    name (str): Name on the Hugging Face hub, or a local folder.
    get_spans (Callable): Cuts documents into the spans to encode.
    tokenizer_config (dict | None): Settings of the tokenizer.
    transformer_config (dict | None): Settings of the encoder; {"num_hidden_layers": l} truncates it to layer l.
    mixed_precision (bool): Compute matrix products in bfloat16 where the device is faster in it.
    frozen (bool): Keep the weights as they are in training: no backward pass, no dropout within the encoder. Unlike a
        component in `frozen_components`, which spaCy does not initialise, it needs no other setting.
    all_layers (bool): Pass on the outputs of all layers, the embeddings' first, side by side: (layers + 1) times the
        width. Every listener needs `spacy-tabcnn.mix_layers.v1` or the like as its pooling then.
    cache_mb (int): Keep up to so many megabytes of output, and encode a sequence only once as long as the weights stay
        the same: for a frozen encoder, which else encodes the corpus in every epoch. 0 for no cache.
    RETURNS (Model[list[Doc], FullTransformerBatch]): The encoder.
    RAISES (ValueError): If cache_mb is negative.
    """
    # spaCy may load this function only to list what is registered, and these take seconds to import.
    from spacy_transformers.data_classes import HFObjects
    from spacy_transformers.layers import TransformerModel

    from ..runtime.encoder_shim import EncoderShim

    if cache_mb < 0:
        raise ValueError(
            f"spacy-tabcnn.TransformerModel.v1: cache_mb is {cache_mb}; expected 0 (no cache) or more"
        )
    tokenizer_config, transformer_config = (
        dict(tokenizer_config or {}),
        dict(transformer_config or {}),
    )
    model = TransformerModel(name, get_spans, tokenizer_config, transformer_config)
    shim = EncoderShim(
        HFObjects(None, None, None, tokenizer_config, transformer_config),
        use_bfloat16=mixed_precision,
        frozen=frozen,
        all_layers=all_layers,
        cache_size=cache_mb * 2**20,
    )
    model.layers[0]._shims[0] = shim
    model.attrs["replace_listener_cfg"] = _replace_listener_cfg
    if all_layers:
        model.attrs["set_transformer"] = _set_transformer
    return model


def _set_transformer(model: Model, objects: Any) -> None:
    """Put a loaded encoder into the model, and widen its output to all layers."""
    from spacy_transformers.layers.transformer_model import set_pytorch_transformer

    set_pytorch_transformer(model, objects)
    config = objects.transformer.config
    model.set_dim("nO", config.hidden_size * (config.num_hidden_layers + 1), force=True)


def _replace_listener_cfg(encoder: dict[str, Any], listener: dict[str, Any]) -> dict[str, Any]:
    """spaCy's `replace_listeners` makes a model of spacy-transformers' own, which has none of our settings."""
    from spacy_transformers.layers._util import replace_listener_cfg

    if encoder.get("all_layers"):
        raise ValueError(
            "spacy-tabcnn.TransformerModel.v1: listeners to an encoder with all_layers = true cannot be replaced, "
            "since spacy-transformers' own model passes on the last layer only. Keep the shared encoder"
        )
    return cast(
        dict[str, Any],
        replace_listener_cfg(
            {key: value for key, value in encoder.items() if key not in OWN_SETTINGS}, listener
        ),
    )
