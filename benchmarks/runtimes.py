"""The encoder on a CPU by other runtimes: torch.compile, int8 and ONNX Runtime.

They read the padded batches of a pipeline, and are compared with the encoder as the pipeline runs
it.
"""

import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

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
    TrainOption,
    describe_corpus,
    load_pipeline,
    read_corpus,
)
from .reference import Batch, find_encoder, recorded

# Makes the last hidden state, (sequences, sub-words, width), of a padded batch.
Encode = Callable[[Batch], Tensor]
OPSET = 17


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
        "torch.compile": lambda: _call(torch.compile(copy.deepcopy(plain), dynamic=True)),
        "torch int8": lambda: _call(_quantize(plain)),
        "ONNX Runtime": lambda: _make_session(_export(plain, folder)),
        "ONNX Runtime, int8": lambda: _make_session(_quantize_onnx(folder)),
    }
    if has_bfloat16(torch.device("cpu")):
        makers["pipeline, bfloat16"] = lambda: _call(encoder, use_bfloat16=True)
        makers["torch.compile, bfloat16"] = lambda: _call(
            torch.compile(copy.deepcopy(plain), dynamic=True), use_bfloat16=True
        )
    runtimes: dict[str, Encode] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            runtimes[name] = make()
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


def _quantize(encoder: nn.Module) -> nn.Module:
    """Return a copy whose linear layers have weights of 8 bits, and inputs rounded to 8 bits."""
    with warnings.catch_warnings(action="ignore"):
        quantized: nn.Module = torch.ao.quantization.quantize_dynamic(
            copy.deepcopy(encoder), {nn.Linear}, dtype=torch.qint8
        )
    return quantized


class _LastHiddenState(nn.Module):
    """An encoder with positional arguments and one output, to be exported."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        hidden: Tensor = output.last_hidden_state
        return hidden


def _export(encoder: nn.Module, folder: Path) -> Path:
    """Export an encoder to ONNX, for batches of any size."""
    path = folder / "encoder.onnx"
    names = list(Batch._fields)
    sample = Batch(torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            _LastHiddenState(encoder).eval(),
            tuple(sample),
            str(path),
            input_names=names,
            output_names=["hidden"],
            dynamic_axes={name: {0: "sequences", 1: "subwords"} for name in [*names, "hidden"]},
            opset_version=OPSET,
            dynamo=False,
        )
    return path


def _quantize_onnx(folder: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / "encoder-int8.onnx"
    quantize_dynamic(str(folder / "encoder.onnx"), str(path), weight_type=QuantType.QInt8)
    return path


def _make_session(path: Path) -> Encode:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def encode(batch: Batch) -> Tensor:
        inputs = {name: values.long().numpy() for name, values in batch._asdict().items()}
        return torch.from_numpy(session.run(None, inputs)[0])

    return encode


def compare_runtimes(
    runtimes: dict[str, Encode], batches: list[Batch], *, repeats: int
) -> list[Row]:
    """Time runtimes on padded batches, and compare their output with the first one's.

    runtimes (dict[str, Encode]): The runtimes by name.
    batches (list[Batch]): The batches.
    repeats (int): Number of rounds.
    RETURNS (list[Row]): Milliseconds a batch, the speed relative to the first runtime, and the
        root mean square of the differences, relative to that of the output.
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
                "batch, ms": 1000 * sorted(seconds[name])[len(seconds[name]) // 2] / len(batches),
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


def runtimes_cli(
    data: DataOption = SAMPLE_DEV,
    train: TrainOption = SAMPLE_TRAIN,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
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
        nlp, description = load_pipeline(None, config=config, encoder=encoder, train=train)
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
        headline = {row["runtime"]: row["speed"] for row in tables["batches of nlp.pipe"][1:]}
        settings = {"data": describe_corpus(data, docs), **description, **missing}
    publish("runtimes", Report(settings, headline, tables), output)


if __name__ == "__main__":
    typer.run(runtimes_cli)
