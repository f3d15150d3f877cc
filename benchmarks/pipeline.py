"""Speed of a pipeline on texts, against the least its encoder could take."""

import copy
import statistics
from collections import deque
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from torch import Tensor

from spacy_tabcnn import documents
from spacy_tabcnn.runtime.linear import restore_linears

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
from .parts import profiled, share_rows
from .pipelines import (
    MINILM,
    SAMPLE_DEV,
    SAMPLE_TRAIN,
    UNCASED_CONFIG,
    ConfigOption,
    DataOption,
    EncoderOption,
    MixedPrecisionOption,
    ModelOption,
    TrainOption,
    count_words,
    describe_corpus,
    find_transformer,
    load_pipeline,
    mixed_precision,
    read_corpus,
)

# Sequences of a batch of the encoder that is converted to bfloat16.
CONVERTED_SIZE = 32
# Documents of a paragraph.
PARAGRAPH_SIZE = 5
PARAGRAPHS = f"paragraphs of {PARAGRAPH_SIZE}"


def copy_words(nlp: Language, docs: list[Doc]) -> list[Doc]:
    """Make documents of the gold tokens alone.

    nlp (Language): Gives the vocabulary.
    docs (list[Doc]): Annotated documents.
    RETURNS (list[Doc]): Documents of the same words without annotation.
    """
    return [documents.copy_words(doc, nlp.vocab) for doc in docs]


def join_texts(texts: list[str]) -> list[str]:
    """Join neighbouring texts to paragraphs.

    texts (list[str]): The texts.
    RETURNS (list[str]): Paragraphs of `PARAGRAPH_SIZE` texts each; the last may have fewer.
    """
    starts = range(0, len(texts), PARAGRAPH_SIZE)
    return [" ".join(texts[start : start + PARAGRAPH_SIZE]) for start in starts]


def consume(nlp: Language, inputs: list[str] | list[Doc]) -> None:
    """Annotate a corpus and drop the result.

    nlp (Language): The pipeline.
    inputs (list[str] | list[Doc]): Texts or documents.
    """
    deque(nlp.pipe(inputs), maxlen=0)


def encoded_subwords(nlp: Language, encoder: torch.nn.Module, docs: list[Doc]) -> list[list[int]]:
    """Record what a pipeline gives to its encoder.

    nlp (Language): The pipeline.
    encoder (Module): Its Hugging Face model.
    docs (list[Doc]): The documents to annotate.
    RETURNS (list[list[int]]): The ids of the sub-words of each sequence, without padding.
    """
    sequences: list[list[int]] = []

    def record(module: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"]
        mask = kwargs.get("attention_mask")
        mask = torch.ones_like(ids) if mask is None else mask
        sequences.extend(row[kept].tolist() for row, kept in zip(ids, mask.bool(), strict=True))

    hook = encoder.register_forward_pre_hook(record, with_kwargs=True)
    try:
        consume(nlp, docs)
    finally:
        hook.remove()
    return sequences


def length_sorted_batches(
    sequences: list[list[int]], max_subwords: int
) -> list[tuple[Tensor, Tensor]]:
    """Batch sequences of about the same length.

    sequences (list[list[int]]): The ids of the sub-words of each sequence.
    max_subwords (int): Greatest size of a batch, padding included; a longer sequence makes a batch
        of its own.
    RETURNS (list[tuple[Tensor, Tensor]]): Ids and attention mask of each batch, int64 (batch,
        length).
    """
    batches: list[list[list[int]]] = []
    for sequence in sorted(sequences, key=len):
        # Sorted, so that this sequence is the longest of its batch.
        if batches and (len(batches[-1]) + 1) * len(sequence) <= max_subwords:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
    return [pad_batch(batch) for batch in batches]


def pad_batch(sequences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Pad the sequences of a batch.

    sequences (list[list[int]]): The ids of the sub-words of each sequence.
    RETURNS (tuple[Tensor, Tensor]): Ids and attention mask, int64 (batch, length).
    """
    ids = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(sequence) for sequence in sequences], batch_first=True
    )
    lengths = torch.tensor(list(map(len, sequences)))
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


def copy_plain(encoder: torch.nn.Module) -> torch.nn.Module:
    """Copy an encoder as transformers makes it, without the package's faster layers.

    encoder (Module): The Hugging Face model of a pipeline.
    RETURNS (Module): The copy.
    """
    plain = copy.deepcopy(encoder)
    restore_linears(plain)
    return plain


def make_converted_limit(
    encoder: torch.nn.Module, sequences: list[list[int]]
) -> Callable[[], None]:
    """Make the forward pass of an encoder converted to bfloat16, in length-sorted batches of 32.

    encoder (Module): The Hugging Face model in float32; it stays.
    sequences (list[list[int]]): The ids of the sub-words of each sequence.
    RETURNS (Callable[[], None]): The pass.
    """
    ordered = sorted(sequences, key=len)
    starts = range(0, len(ordered), CONVERTED_SIZE)
    batches = [pad_batch(ordered[start : start + CONVERTED_SIZE]) for start in starts]
    return make_limit(copy.deepcopy(encoder).to(torch.bfloat16), batches)


def make_limit(
    encoder: torch.nn.Module, batches: list[tuple[Tensor, Tensor]], *, use_bfloat16: bool = False
) -> Callable[[], None]:
    """Make the forward pass of an encoder over the sub-words of a pipeline, and no more.

    encoder (Module): The Hugging Face model.
    batches (list[tuple[Tensor, Tensor]]): Ids and attention mask of each batch.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    RETURNS (Callable[[], None]): The pass.
    """
    device = next(encoder.parameters()).device

    def run() -> None:
        encoder.eval()
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=use_bfloat16),
        ):
            for ids, mask in batches:
                encoder(input_ids=ids.to(device), attention_mask=mask.to(device))

    return run


def benchmark_pipeline(
    nlp: Language, docs: list[Doc], *, repeats: int, max_subwords: int, with_bfloat16: bool = False
) -> Report:
    """Time a pipeline on raw texts and on gold tokens, and the limit that its encoder sets.

    nlp (Language): The pipeline.
    docs (list[Doc]): Documents; their annotation is not used.
    repeats (int): Number of rounds.
    max_subwords (int): Greatest size of a batch of the limit, padding included.
    with_bfloat16 (bool): Whether to time gold tokens and limit in mixed precision too.
    RETURNS (Report): The result.
    """
    texts, gold = [doc.text for doc in docs], copy_words(nlp, docs)
    paragraphs = join_texts(texts)
    n_words = {
        "raw text": count_words(map(nlp.make_doc, texts)),
        PARAGRAPHS: count_words(map(nlp.make_doc, paragraphs)),
        "gold tokens": count_words(gold),
    }

    def annotate(inputs: list[str] | list[Doc], use_bfloat16: bool = False) -> None:
        with mixed_precision(nlp, use_bfloat16):
            consume(nlp, inputs)

    contenders: dict[str, Callable[[], object]] = {
        "raw text": lambda: annotate(texts),
        PARAGRAPHS: lambda: annotate(paragraphs),
        "gold tokens": lambda: annotate(gold),
    }
    if with_bfloat16:
        contenders["gold tokens, bfloat16"] = lambda: annotate(gold, True)
    settings: Row = {"batch_size": nlp.batch_size}
    transformer = find_transformer(nlp)
    if transformer is not None:
        encoder = transformer.model.transformer
        sequences = encoded_subwords(nlp, encoder, copy_words(nlp, docs))
        encoder = copy_plain(encoder)
        batches = length_sorted_batches(sequences, max_subwords)
        contenders["limit"] = make_limit(encoder, batches)
        if with_bfloat16:
            contenders["limit, bfloat16"] = make_limit(encoder, batches, use_bfloat16=True)
            contenders["limit, converted"] = make_converted_limit(encoder, sequences)
        settings["subwords"] = sum(map(len, sequences))
        n_padded = sum(ids.numel() for ids, _ in batches)
        settings["limit"] = (
            f"the encoder's forward pass alone, float32, {len(batches)} length-sorted batches of "
            f"at most {max_subwords} padded sub-words, {n_padded} in all"
        )
    seconds = interleave(contenders, repeats=repeats)
    n_entities = sum(len(doc.ents) for doc in gold)
    n_relations = sum(len(doc._.relations) for doc in gold)
    settings["predicted"] = f"{n_entities} entities, {n_relations} relations"

    rows: list[Row] = []
    headline: Row = {}
    for name, spent in seconds.items():
        median = statistics.median(spent)
        words = n_words.get(name, n_words["gold tokens"])
        ratio = median_ratio(spent, seconds["limit"]) if "limit" in seconds else None
        rows.append(
            {
                "input": name,
                "seconds": median,
                "sentences/s": len(docs) / median,
                "words/s": words / median,
                "time/limit": ratio,
            }
        )
        if not name.startswith("limit"):
            headline[f"words/s, {name}"] = words / median
            headline[f"time/limit, {name}"] = ratio
    per_word = n_words["raw text"] / n_words[PARAGRAPHS]
    headline["words/s, paragraphs/raw text"] = (
        median_ratio(seconds["raw text"], seconds[PARAGRAPHS]) / per_word
    )
    if "limit, converted" in seconds:
        headline["converted encoder/gold tokens, bfloat16"] = median_ratio(
            seconds["limit, converted"], seconds["gold tokens, bfloat16"]
        )
    tables = {f"Speed on {len(docs)} documents": rows}
    for name in contenders:
        if name == PARAGRAPHS or name.startswith("limit"):
            continue
        with profiled(nlp) as timer:
            contenders[name]()
        tables[f"Parts of one profiled pass, {name}"] = share_rows(timer.seconds)
    return Report(settings, headline, tables)


def pipeline_cli(
    *,
    model: ModelOption = None,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    data: DataOption = SAMPLE_DEV,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    max_subwords: Annotated[
        int, typer.Option("--max-subwords", min=1, help="Padded sub-words of a batch of the limit")
    ] = 512,
    with_bfloat16: MixedPrecisionOption = False,
) -> None:
    """Words per second of a pipeline and of its parts, against its encoder's forward pass."""
    with failures_named("pipeline"):
        docs = read_corpus(data)
        nlp, description = load_pipeline(model, config=config, encoder=encoder, train=train)
        report = benchmark_pipeline(
            nlp, docs, repeats=repeats, max_subwords=max_subwords, with_bfloat16=with_bfloat16
        )
    settings = {"data": describe_corpus(data, docs), **description, **report.settings}
    publish("pipeline", report._replace(settings=settings), output)


if __name__ == "__main__":
    typer.run(pipeline_cli)
