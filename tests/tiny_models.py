"""A tiny encoder, and a config that trains with it in seconds."""

import importlib
from pathlib import Path

from thinc.api import Config

CONFIG = Path(__file__).parents[1] / "configs" / "conll04.cfg"


def save_tiny_encoder(folder: Path, *, width: int, max_length: int | None = None) -> None:
    """Save a BERT with random weights and single characters as sub-words, as Hugging Face does."""
    transformers = importlib.import_module("transformers")  # slow to load, and few tests need it
    folder.mkdir(parents=True, exist_ok=True)
    characters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    vocab += [f"##{character}" for character in characters]
    path = folder / "vocab.txt"
    path.write_text("\n".join(vocab), encoding="utf-8")
    options = {} if max_length is None else {"model_max_length": max_length}
    tokenizer = transformers.BertTokenizerFast(str(path), do_lower_case=False, **options)
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocab),
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * width,
    )
    transformers.BertModel(config).save_pretrained(folder)


def write_tiny_config(path: Path, encoder: Path, corpus: Path, **training: int) -> Path:
    """Write the paper's config with a narrow head, for training and scoring on a tiny corpus."""
    config = Config().from_disk(CONFIG, interpolate=False)
    config["paths"] = {"train": str(corpus), "dev": str(corpus), "encoder": str(encoder)}
    config["components"]["relation_table"]["model"]["head"]["hidden"] = [16]
    config["training"] |= training
    config.to_disk(path)
    return path
