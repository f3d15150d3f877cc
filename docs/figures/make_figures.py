"""Draws the figures of docs/head.md: `python docs/figures/make_figures.py` in the root of the project.

It wants the sample corpus and the model trained on it (`spacy project run all`).
"""

from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import spacy
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from spacy.tokens import Doc
from spacy.training import Example
from torch import Tensor, nn

from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.labels import NO_RELATION, LabelScheme
from spacy_tabcnn.pipeline.relation_table import RelationTable
from spacy_tabcnn.sentences import DEFAULT_MAX_LENGTH, Sentences, Windows
from spacy_tabcnn.table.gold import gold_tables

FOLDER = Path(__file__).parent
SENTENCE = 38  # of the development part of the sample corpus
# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
COLOURS = ["#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2"]
GREY = "#8c8c8c"


def draw_label_table(doc: Doc, scheme: LabelScheme) -> Figure:
    """Draw the gold table of a sentence.

    doc (Doc): The sentence, annotated.
    scheme (LabelScheme): The labels.
    RETURNS (Figure): The table.
    """
    words = [token.text for token in doc]
    windows = Windows(Sentences.of_docs([doc]), DEFAULT_MAX_LENGTH)
    table, _ = gold_tables([Example(Doc(doc.vocab, words=words), doc)], windows, scheme)
    n = len(words)
    relations = np.zeros((n, n), dtype=int)
    relations[np.triu_indices(n, 1)] = table.relations
    colour_of = dict(
        zip(
            (index for index in np.unique(relations) if index != NO_RELATION), COLOURS, strict=False
        )
    )
    figure, axes = plt.subplots(figsize=(8.5, 7.5), layout="constrained")
    for row, col in zip(*(index.tolist() for index in np.triu_indices(n)), strict=True):
        colour = "#e8e8e8" if row == col else colour_of.get(relations[row, col], "white")
        axes.add_patch(Rectangle((col, row), 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.5))
    for place, tag in enumerate(table.tags):
        name = scheme.tag_name(tag)
        size = 6 if len(name) < 10 else 4.6  # no wider than the cell
        axes.text(
            place + 0.5,
            place + 0.5,
            name.replace("-", "-\n", 1),
            ha="center",
            va="center",
            fontsize=size,
        )
    handles = []
    for index, colour in colour_of.items():
        label, head_first = scheme.relation_label(index)
        text = f"{label}: head in the {'row' if head_first else 'column'}"
        handles.append(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=GREY, label=text))
    axes.legend(handles=handles, loc="lower left", frameon=False, fontsize=11)
    axes.set(xlim=(0, n), ylim=(n, 0), aspect="equal")
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(n) + 0.5, words, rotation=60, ha="left")
    axes.set_yticks(np.arange(n) + 0.5, words)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def split_first_layer(words: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Compute what the words of the rows and those of the columns add to the first convolution.

    words (Tensor): Word embeddings, (n, width).
    conv (nn.Conv2d): The convolution.
    RETURNS (tuple[Tensor, Tensor]): Both parts, (channels, n, n) each; the rows' holds the bias.
    RAISES (ValueError): If they do not add up to the convolution of the table.
    """
    (n, width), reach = words.shape, conv.kernel_size[0] // 2
    assert conv.bias is not None
    parts = []
    for kernel in (conv.weight[:, :width], conv.weight[:, width:].transpose(2, 3)):
        # One 1-D convolution over the sentence for each offset along the other axis.
        by_offset = [
            F.conv1d(words.t(), kernel[..., offset], padding=reach)
            for offset in range(2 * reach + 1)
        ]
        cells = [
            torch.stack(
                [by_offset[w + reach] for w in range(-reach, reach + 1) if 0 <= at + w < n]
            ).sum(0)
            for at in range(n)
        ]
        parts.append(torch.stack(cells, dim=2))
    rows, columns = parts[0] + conv.bias[:, None, None], parts[1].transpose(1, 2)
    table = torch.cat(
        [words.t()[:, :, None].expand(-1, -1, n), words.t()[:, None].expand(-1, n, -1)]
    )
    if not torch.allclose(rows + columns, conv(table[None])[0], atol=1e-4):
        raise ValueError("the parts do not add up to the convolution")
    return rows, columns


def draw_first_layer(doc: Doc, words: Tensor, conv: nn.Conv2d) -> Figure:
    """Draw one channel of the first layer: the rows' part, the columns' part and their sum.

    doc (Doc): The sentence.
    words (Tensor): Its word embeddings, (n, width).
    conv (nn.Conv2d): The first convolution.
    RETURNS (Figure): The three tables, of the channel that varies most.
    """
    rows, columns = split_first_layer(words, conv)
    channel = int((rows + columns).flatten(1).std(1).argmax())
    figure, panels = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
    titles = ("from the row's word", "from the column's word", "their sum: the first convolution")
    tables = [table[channel].numpy() for table in (rows, columns, rows + columns)]
    limit = max(float(np.abs(table).max()) for table in tables)
    for axes, title, table in zip(panels, titles, tables, strict=True):
        image = axes.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(title, fontsize=11)
        axes.set_xticks(range(len(doc)), [token.text for token in doc], rotation=90, fontsize=7)
        axes.set_yticks(range(len(doc)), [token.text for token in doc], fontsize=7)
    figure.colorbar(image, ax=panels, shrink=0.7)
    return figure


def main() -> None:
    """Draw all figures beside this file."""
    nlp = spacy.load("training/sample/model-best")
    pipe = cast(RelationTable, nlp.get_pipe("relation_table"))
    doc = next(islice(read_docbin("corpus/sample/dev.spacy", nlp.vocab), SENTENCE, None))
    predicted = nlp(Doc(nlp.vocab, words=[token.text for token in doc]))
    words = torch.tensor(pipe.model.get_ref("tok2vec").predict([predicted])[0])
    conv = pipe.model.get_ref("head").shims[0]._model.convs[0]
    with torch.inference_mode():
        figures = {
            "label_table": draw_label_table(doc, pipe.label_scheme),
            "first_layer": draw_first_layer(doc, words, conv.float()),
        }
    # Without the date and with fixed ids, the same figure is the same file.
    plt.rcParams["svg.hashsalt"] = "spacy_tabcnn"
    for name, figure in figures.items():
        figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
