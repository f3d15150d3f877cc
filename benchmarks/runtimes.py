"""The encoder on a CPU by other runtimes: torch.compile, int8 and ONNX Runtime.

They read the padded batches of a pipeline, and are compared with the encoder as the pipeline runs
it. A trained pipeline is also timed and scored as a whole, in float32, bfloat16 and int8.
"""

import copy
import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.runtime.linear import restore_linears
from spacy_tabcnn.runtime.precision import has_bfloat16

from .common import (
    OutputOption,
    RepeatsOption,
    Report,
    Row,
    failures_named,
    interleave,
    median_ratio,
    publish,
)
from .pipeline import consume, copy_plain, copy_words
from .pipelines import (
    MINILM,
    SAMPLE_DEV,
    SAMPLE_TRAIN,
    UNCASED_CONFIG,
    ConfigOption,
    DataOption,
    EncoderOption,
    ModelOption,
    TrainOption,
    count_words,
    describe_corpus,
    load_pipeline,
    mixed_precision,
    read_corpus,
)
from .reference import Batch, find_encoder, recorded

# Makes the last hidden state, (sequences, sub-words, width), of a padded batch.
Encode = Callable[[Batch], Tensor]
OPSET = 17
ONNX_FILE, INT8_FILE = "encoder.onnx", "encoder-int8.onnx"
_SAMPLE = Batch(torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))


def make_runtimes(encoder: nn.Module, folder: Path) -> tuple[dict[str, Encode], dict[str, str]]:
    """Prepare an encoder for each runtime.

    encoder (Module): The Hugging Face model of a pipeline, as the pipeline runs it.
    folder (Path): A folder for files.
    RETURNS (tuple[dict[str, Encode], dict[str, str]]): The runtimes by name, the pipeline's first,
        and the reasons for those that cannot be had.
    """
    plain = copy_plain(encoder)
    makers: dict[str, Callable[[], Encode]] = {
        "pipeline": lambda: _call(encoder),
        "transformers": lambda: _call(plain),
        "torch.compile": lambda: _call(torch.compile(plain, dynamic=True)),
        "torch int8": lambda: _call(quantize(copy.deepcopy(plain))),
        "ONNX Runtime": lambda: _call(OnnxEncoder(export(plain, folder))),
        "ONNX Runtime, int8": lambda: _call(OnnxEncoder(quantize_onnx(folder / ONNX_FILE))),
    }
    if has_bfloat16(torch.device("cpu")):
        makers["pipeline, bfloat16"] = lambda: _call(encoder, use_bfloat16=True)
        makers["torch.compile, bfloat16"] = lambda: _call(
            torch.compile(plain, dynamic=True), use_bfloat16=True
        )
    runtimes: dict[str, Encode] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            encode = make()
            encode(_SAMPLE)  # some runtimes compile, or refuse, at the first call
            runtimes[name] = encode
        except Exception as err:  # a runtime is not installed, or refuses this encoder
            missing[name] = f"{type(err).__name__}: {err}".splitlines()[0]
    return runtimes, missing


def _call(module: Any, *, use_bfloat16: bool = False) -> Encode:
    def encode(batch: Batch) -> Tensor:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=use_bfloat16),
        ):
            output = module(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        hidden: Tensor = output.last_hidden_state.float()
        return hidden

    return encode


def quantize(encoder: nn.Module) -> nn.Module:
    """Round the weights of the linear layers to 8 bits, by channel, and their inputs, by tensor.

    encoder (Module): An encoder as transformers makes it. It is changed.
    RETURNS (Module): The encoder.
    """
    settings = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings(action="ignore"):
        quantized: nn.Module = torch.ao.quantization.quantize_dynamic(
            encoder, settings, inplace=True
        )
    return quantized


class _HiddenStates(nn.Module):
    """An encoder with positional arguments and the states of all layers, to be exported."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        output = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        )
        hidden: tuple[Tensor, ...] = output.hidden_states
        return hidden


def export(encoder: nn.Module, folder: Path) -> Path:
    """Export an encoder to ONNX, for batches of any size.

    encoder (Module): An encoder as transformers makes it.
    folder (Path): The folder for the file.
    RETURNS (Path): The file. Its outputs are the states of all layers, in their order.
    """
    path = folder / ONNX_FILE
    module = _HiddenStates(encoder).eval()
    inputs = list(Batch._fields)
    outputs = [f"layer{number}" for number in range(len(module(*_SAMPLE)))]
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            module,
            tuple(_SAMPLE),
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "sequences", 1: "subwords"} for name in [*inputs, *outputs]},
            opset_version=OPSET,
            dynamo=False,
        )
    return path


def quantize_onnx(path: Path) -> Path:
    """Round the weights of an exported encoder to 8 bits.

    They are rounded by channel, and the inputs of its products by tensor.

    path (Path): The file of `export`.
    RETURNS (Path): A file beside it.
    RAISES (ImportError): If ONNX Runtime is not installed.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    rounded = path.with_name(INT8_FILE)
    quantize_dynamic(str(path), str(rounded), per_channel=True, weight_type=QuantType.QInt8)
    return rounded


class OnnxEncoder:
    """An exported encoder, with the call of the Hugging Face model that it was.

    The types of its tokens are 0, as those of a single text are.

    path (Path): The file of `export` or `quantize_onnx`.
    """

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._layers = [output.name for output in self._session.get_outputs()]

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        names = self._layers if output_hidden_states else self._layers[-1:]
        batch = Batch(input_ids, attention_mask)
        inputs = {name: values.long().numpy() for name, values in batch._asdict().items()}
        # transformers' types name float tensors by a class that no tensor has.
        hidden: Any = tuple(map(torch.from_numpy, self._session.run(names, inputs)))
        return BaseModelOutput(last_hidden_state=hidden[-1], hidden_states=hidden)


def compare_runtimes(
    runtimes: dict[str, Encode], batches: list[Batch], *, repeats: int
) -> list[Row]:
    """Time runtimes on padded batches, and compare their output with the first one's.

    runtimes (dict[str, Encode]): The runtimes by name.
    batches (list[Batch]): The batches.
    repeats (int): Number of rounds.
    RETURNS (list[Row]): Milliseconds a batch, the speed relative to the first runtime, and the
        root mean square of the differences, relative to the output's.
    """

    def run(encode: Encode) -> Callable[[], None]:
        def passes() -> None:
            for batch in batches:
                encode(batch)

        return passes

    seconds = interleave({name: run(encode) for name, encode in runtimes.items()}, repeats=repeats)
    first, *_ = runtimes
    reference = [runtimes[first](batch) for batch in batches]
    rows: list[Row] = []
    for name, encode in runtimes.items():
        outputs = [encode(batch) for batch in batches]
        rows.append(
            {
                "runtime": name,
                "batch, ms": 1000 * statistics.median(seconds[name]) / len(batches),
                "speed": median_ratio(seconds[first], seconds[name]),
                "difference": _difference(outputs, reference, batches),
            }
        )
    return rows


def _difference(outputs: list[Tensor], reference: list[Tensor], batches: list[Batch]) -> float:
    errors, norms = 0.0, 0.0
    for output, expected, batch in zip(outputs, reference, batches, strict=True):
        kept = batch.attention_mask.bool()
        errors += float((output - expected)[kept].square().sum())
        norms += float(expected[kept].square().sum())
    return (errors / norms) ** 0.5


def compare_precisions(
    model: Path, data: Path, docs: list[Doc], *, rounded: Path | None, repeats: int
) -> list[Row]:
    """Time and score a trained pipeline in several precisions of its encoder.

    model (Path): The pipeline.
    data (Path): An annotated corpus, to score on.
    docs (list[Doc]): The documents to time.
    rounded (Path | None): The file of `quantize_onnx` for its encoder; None if there is none.
    repeats (int): Number of rounds.
    RETURNS (list[Row]): Words a second of `nlp.pipe`, the speed relative to float32, and the F1 of
        entities and of strict relations in percent.
    """
    pipelines = {"float32": _load(model), "int8, torch": _load(model)}
    encoder = find_encoder(pipelines["int8, torch"])
    restore_linears(encoder)
    quantize(encoder)
    if rounded is not None:
        pipelines["int8, ONNX Runtime"] = _load(model)
        find_encoder(pipelines["int8, ONNX Runtime"]).forward = OnnxEncoder(rounded)
    if has_bfloat16(torch.device("cpu")):
        pipelines["bfloat16"] = _load(model)

    def run(name: str) -> None:
        with mixed_precision(pipelines[name], enabled=name == "bfloat16"):
            consume(pipelines[name], copy_words(pipelines[name], docs))

    contenders = {name: partial(run, name) for name in pipelines}
    seconds = interleave(contenders, repeats=repeats)
    rows: list[Row] = []
    for name, nlp in pipelines.items():
        with mixed_precision(nlp, enabled=name == "bfloat16"):
            scores = nlp.evaluate(list(RelationCorpus(data)(nlp)))
        rows.append(
            {
                "precision": name,
                "words/s": count_words(docs) / statistics.median(seconds[name]),
                "speed": median_ratio(seconds["float32"], seconds[name]),
                "entities, F1": 100 * scores["ents_f"],
                "RE+, F1": 100 * scores["rels_strict_f"],
            }
        )
    return rows


def _load(model: Path) -> Language:
    return load_pipeline(model, config=UNCASED_CONFIG, encoder=MINILM, train=SAMPLE_TRAIN)[0]


def runtimes_cli(
    data: DataOption = SAMPLE_DEV,
    train: TrainOption = SAMPLE_TRAIN,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
    model: ModelOption = None,
    limit: Annotated[int, typer.Option("--limit", help="Number of documents", min=1)] = 64,
    repeats: RepeatsOption = 5,
    output: OutputOption = None,
) -> None:
    """
    Compare the encoder of a pipeline on a CPU with other runtimes.

    ONNX Runtime requires: pip install onnx onnxruntime
    """
    with failures_named("runtimes"):
        docs = read_corpus(data)[:limit]
        nlp, description = load_pipeline(model, config=config, encoder=encoder, train=train)
        module = find_encoder(nlp)
        tables: dict[str, list[Row]] = {}
        with tempfile.TemporaryDirectory() as folder:
            with recorded(module) as together:
                consume(nlp, copy_words(nlp, docs))
            with recorded(module) as alone:
                for doc in copy_words(nlp, docs):
                    nlp(doc)
            runtimes, missing = make_runtimes(module, Path(folder))
            tables["batches of nlp.pipe"] = compare_runtimes(runtimes, together, repeats=repeats)
            tables["one document at a time"] = compare_runtimes(runtimes, alone, repeats=repeats)
            if model is not None:
                rounded = Path(folder, INT8_FILE) if "ONNX Runtime, int8" in runtimes else None
                precisions = compare_precisions(model, data, docs, rounded=rounded, repeats=repeats)
                tables["nlp.pipe, trained"] = precisions
        headline = {row["runtime"]: row["speed"] for row in tables["batches of nlp.pipe"][1:]}
        settings = {"data": describe_corpus(data, docs), **description, **missing}
    publish("runtimes", Report(settings, headline, tables), output)


if __name__ == "__main__":
    typer.run(runtimes_cli)
