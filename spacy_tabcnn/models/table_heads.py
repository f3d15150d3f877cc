"""Table heads: word embeddings of a batch of sentences -> logits of their tables."""

import functools
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple, cast

import srsly
import torch
from thinc.api import ArgsKwargs, Model, get_torch_default_device, torch2xp, xp2torch
from torch import nn

from ..labels import tag_rules
from ..table.types import Floats2d, Ints1d, TableLogits
from .shim import TorchShim
from .torch.table_biaffine import TableBiaffine
from .torch.table_cnn import TableCNN


class HeadInput(NamedTuple):
    """A batch of sentences, or the loss's gradient with respect to their embeddings.

    words (Floats2d): Word embeddings (words, width), the sentences end to end.
    lengths (Ints1d): Words of each sentence, int64 (sentences,).
    gold_tags (Ints1d | None): In training, the gold tag of each word, int64 (words,), negative where it is missing: for
        heads whose scores depend on tags.
    """

    words: Floats2d
    lengths: Ints1d
    gold_tags: Ints1d | None = None


def build_table_cnn(
    *,
    kernel_size: int = 3,
    hidden: list[int] | None = None,
    dropout: float | None = None,
    separable: bool = False,
    mixed_precision: bool = False,
) -> Model[HeadInput, TableLogits]:
    """Build the paper's CNN over word pairs (section 2.2). Registered as `spacy-tabcnn.TableCNN.v1`.

    kernel_size (int): Odd width and height of every kernel (paper, table 5).
    hidden (list[int] | None): Channels of the hidden layers (paper, table 5); [512] by default.
    dropout (float | None): Dropout of the word embeddings and of the hidden layers' channels. By default that of the
        `[training]` block.
    separable (bool): Whether each layer after the first is a depthwise convolution (kernel_size x kernel_size, each
        channel for itself) and then a pointwise one (1 x 1), as MobileNets do it and the paper's future work proposes.
        Spares most of the weights of these layers, and with two hidden layers or more also most of the time.
    mixed_precision (bool): Whether to compute matrix products in bfloat16, in training and prediction. Sums, logits and
        the loss stay in float32, and so does everything on a device without fast bfloat16.
    RETURNS (Model[HeadInput, TableLogits]): The head, built once its dimensions are known.
    """
    make_module = functools.partial(
        TableCNN,
        kernel_size=kernel_size,
        hidden=[512] if hidden is None else hidden,
        dropout=dropout or 0.0,
        separable=separable,
    )
    return build_torch_head("table_cnn", make_module, dropout=dropout, mixed_precision=mixed_precision)


def build_table_biaffine(
    *, tag_width: int = 64, rank: int = 64, dropout: float | None = None, mixed_precision: bool = False
) -> Model[HeadInput, TableLogits]:
    """Build the head of TabERT, with which the paper compares its own (section 2.1): tags from left to right, each
    given those before it, then all relations at once. Registered as `spacy-tabcnn.TableBiaffine.v1`.

    tag_width (int): Width of a tag embedding.
    rank (int): Rows of the matrices Q_r and K_r, which score relation r of the words i and j by
        (Q_r z_i + q_r)^T (K_r z_j + k_r).
    dropout (float | None): Dropout of the word and tag embeddings. By default that of the `[training]` block.
    mixed_precision (bool): Whether to compute matrix products in bfloat16, as `build_table_cnn` does.
    RETURNS (Model[HeadInput, TableLogits]): The head, built once its dimensions are known.
    """
    make_module = functools.partial(make_table_biaffine, tag_width=tag_width, rank=rank, dropout=dropout or 0.0)
    return build_torch_head("table_biaffine", make_module, dropout=dropout, mixed_precision=mixed_precision)


def make_table_biaffine(*, width: int, n_tags: int, n_relations: int, **options: Any) -> TableBiaffine:
    """Make the module of `build_table_biaffine`. A function of the module, so that a head can be pickled.

    width (int): Width of a word embedding.
    n_tags (int): Number of tags, whose rules `tag_rules` tells.
    n_relations (int): Number of relation labels.
    options (Any): Those of `TableBiaffine`.
    RETURNS (TableBiaffine): The module.
    """
    return TableBiaffine(width, n_relations, tag_rules(n_tags), **options)


def build_torch_head(
    name: str, make_module: Callable[..., nn.Module], *, dropout: float | None, mixed_precision: bool = False
) -> Model[HeadInput, TableLogits]:
    """Wrap a torch module as a table head.

    name (str): Name of the layer.
    make_module (Callable): Called with `width`, `n_tags` and `n_relations`, returns a module with an attribute
        `dropout` and the signature of `TableBiaffine.forward`.
    dropout (float | None): Dropout in training; None follows spaCy's `set_dropout_rate`.
    mixed_precision (bool): Whether to run the module under `precision.autocast`.
    RETURNS (Model[HeadInput, TableLogits]): The head. Its dimensions are nI (the embeddings' width), n_tags and
        n_relations; the latter two come from a sample of logits given to `initialize` as Y.
    """
    attrs = {"dropout_rate": 0.0} if dropout is None else {"dropout": dropout}
    return Model(
        name,
        forward,
        init=init,
        dims={"nI": None, "n_tags": None, "n_relations": None},
        attrs=attrs,
        shims=[TableHeadShim(make_module, use_bfloat16=mixed_precision)],
    )


class TableHeadShim(TorchShim):
    """A torch module that is built when its dimensions are known: at initialisation or from a saved model.

    make_module (Callable): Builds the module from its dimensions; see `build_torch_head`.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    """

    def __init__(self, make_module: Callable[..., nn.Module], *, use_bfloat16: bool = False):
        super().__init__(None, deserialize_model=load_weights)
        self.make_module = make_module
        self.use_bfloat16 = use_bfloat16

    def build(self, dims: dict[str, int]) -> None:
        """Make the module.

        dims (dict[str, int]): The module's `width`, `n_tags` and `n_relations`. They are saved with the weights.
        """
        self.cfg = dims
        self._model = self.make_module(**dims).to(get_torch_default_device())

    def to_bytes(self) -> bytes:
        return super().to_bytes() if self._model is not None else srsly.msgpack_dumps({"config": {}})

    def from_bytes(self, bytes_data: bytes) -> "TableHeadShim":
        dims = srsly.msgpack_loads(bytes_data)["config"]
        if not dims:
            return self
        self.build(dims)
        return super().from_bytes(bytes_data)

    def to_device(self, device_type: str, device_id: int) -> None:
        if self._model is not None:
            super().to_device(device_type, device_id)


def load_weights(module: nn.Module, state: bytes, device: torch.device) -> nn.Module:
    """Load saved parameters; a model directory is not trusted with anything but tensors.

    module (nn.Module): The module that was saved.
    state (bytes): Its parameters, as `torch.save` wrote them.
    device (torch.device): Where to put them.
    RETURNS (nn.Module): The module.
    """
    module.load_state_dict(torch.load(BytesIO(state), map_location=device, weights_only=True))
    return module.to(device)


def forward(
    model: Model[HeadInput, TableLogits], inputs: HeadInput, is_train: bool
) -> tuple[TableLogits, Callable[[TableLogits], HeadInput]]:
    shim = cast(TableHeadShim, model.shims[0])
    if is_train:
        # thinc's set_dropout_rate reaches the layer's attribute; the torch module must be told.
        shim._model.dropout = model.attrs.get("dropout", model.attrs.get("dropout_rate"))
    words = xp2torch(inputs.words, requires_grad=is_train)
    lengths = torch.from_numpy(inputs.lengths)
    gold_tags = None if inputs.gold_tags is None else torch.from_numpy(inputs.gold_tags)
    arguments = ArgsKwargs(args=(words, lengths, gold_tags), kwargs={})
    outputs, backprop_torch = shim(arguments, is_train)

    def backprop(d_logits: TableLogits) -> HeadInput:
        gradients = [xp2torch(d_logits.tags), xp2torch(d_logits.relations)]
        backprop_torch(ArgsKwargs(args=(outputs,), kwargs={"grad_tensors": gradients}))
        return HeadInput(torch2xp(cast(torch.Tensor, words.grad), ops=model.ops), inputs.lengths)

    tags, relations = (torch2xp(output, ops=model.ops) for output in outputs)
    return TableLogits(tags, relations, inputs.lengths), backprop


def init(model: Model[HeadInput, TableLogits], X: Any = None, Y: TableLogits | None = None) -> None:
    if Y is not None:
        # The module is built anew, so a head that was initialised before may get other labels.
        model.set_dim("n_tags", Y.tags.shape[1], force=True)
        model.set_dim("n_relations", Y.relations.shape[1], force=True)
    cast(TableHeadShim, model.shims[0]).build(
        {
            "width": model.get_dim("nI"),
            "n_tags": model.get_dim("n_tags"),
            "n_relations": model.get_dim("n_relations"),
        }
    )
