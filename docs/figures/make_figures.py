"""Make the figures of docs/head.md.

Run `python docs/figures/make_figures.py` in the root of the project. This requires the sample
corpus and the model trained on it (`spacy project run all`).
"""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import spacy
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
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
from spacy_tabcnn.visual.reliability import draw_svg

FOLDER = Path(__file__).parent
SENTENCE = 38  # index in the development part of the sample corpus
# Colours that colour-blind readers can tell apart (Okabe and Ito, 2008).
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
    relations = np.full((n, n), NO_RELATION)
    relations[np.triu_indices(n, 1)] = table.relations
    used = np.setdiff1d(relations, [NO_RELATION])
    colours = dict(zip(used.tolist(), COLOURS, strict=False))
    figure, axes = plt.subplots(figsize=(8.5, 7.5), layout="constrained")
    for row, col in np.argwhere(np.triu(np.ones((n, n)))).tolist():
        colour = colours.get(relations[row, col], "white")
        if row == col:
            colour = "#e8e8e8"
        axes.add_patch(Rectangle((col, row), 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.5))
    for place, tag in enumerate(table.tags):
        draw_tag(axes, scheme.tag_name(tag), place + 0.5)
    draw_legend(axes, scheme, colours)
    axes.set(xlim=(0, n), ylim=(n, 0), aspect="equal")
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(n) + 0.5, words, rotation=60, ha="left")
    axes.set_yticks(np.arange(n) + 0.5, words)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def draw_tag(axes: Axes, name: str, place: float) -> None:
    """Write a tag into its cell.

    axes (Axes): The table.
    name (str): Name of the tag.
    place (float): Both coordinates of the cell's centre.
    """
    text, size = name.replace("-", "-\n", 1), 6.0
    if len(name) >= 10:
        size = 4.6  # as wide as the cell
    # Not black, which SVG files replace: the cell is light in a dark page, too.
    axes.text(place, place, text, ha="center", va="center", fontsize=size, color="#111111")


def draw_legend(axes: Axes, scheme: LabelScheme, colours: Mapping[int, str]) -> None:
    """Draw the relations of a table with their directions.

    axes (Axes): The table.
    scheme (LabelScheme): The labels.
    colours (Mapping[int, str]): Colours by index of the relation label.
    """
    handles = []
    for index, colour in colours.items():
        label, head_first = scheme.relation_label(index)
        text = f"{label}: head in the {('column', 'row')[head_first]}"
        handles.append(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=GREY, label=text))
    axes.legend(handles=handles, loc="lower left", frameon=False, fontsize=11)


def split_first_layer(words: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Compute the contributions of the rows' and of the columns' words to the first convolution.

    words (Tensor): Word embeddings, (n, width).
    conv (nn.Conv2d): The convolution.
    RETURNS (tuple[Tensor, Tensor]): Both parts, (channels, n, n) each. The first one has the bias.
    RAISES (ValueError): If they do not add up to the convolution of the table.
    """
    n, width = words.shape
    assert conv.bias is not None
    rows = convolve_part(words, conv.weight[:, :width]) + conv.bias[:, None, None]
    columns = convolve_part(words, conv.weight[:, width:].transpose(2, 3)).transpose(1, 2)
    by_row = words.t()[:, :, None].expand(-1, -1, n)
    by_column = words.t()[:, None].expand(-1, n, -1)
    table = torch.cat([by_row, by_column])
    if not torch.allclose(rows + columns, conv(table[None])[0], atol=1e-4):
        raise ValueError("the parts do not add up to the convolution")
    return rows, columns


def convolve_part(words: Tensor, kernel: Tensor) -> Tensor:
    """Convolve a table whose cells (i, j) have the embedding of word i.

    words (Tensor): Word embeddings, (n, width).
    kernel (Tensor): The kernel, (channels, width, k, k).
    RETURNS (Tensor): The result, (channels, n, n).
    """
    n, reach = len(words), kernel.shape[-1] // 2
    # One 1-D convolution over the sentence for each offset along the columns.
    by_offset = [
        F.conv1d(words.t(), kernel[..., offset], padding=reach) for offset in range(2 * reach + 1)
    ]
    columns = []
    for j in range(n):
        # Offsets that are within the table.
        first, last = max(reach - j, 0), min(reach + n - j, 2 * reach + 1)
        columns.append(torch.stack(by_offset[first:last]).sum(0))
    return torch.stack(columns, dim=2)


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
    tables = torch.stack([rows, columns, rows + columns])[:, channel]
    limit = float(tables.abs().max())
    words_of_doc = [token.text for token in doc]
    for axes, title, table in zip(panels, titles, tables, strict=True):
        image = axes.imshow(table.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(title, fontsize=11)
        axes.set_xticks(range(len(doc)), words_of_doc, rotation=90, fontsize=7)
        axes.set_yticks(range(len(doc)), words_of_doc, fontsize=7)
    figure.colorbar(image, ax=panels, shrink=0.7)
    return figure


def main() -> None:
    """Draw all figures into the folder of this file."""
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
    # With fixed identifiers, the same figure gives the same file.
    plt.rcParams["svg.hashsalt"] = "spacy_tabcnn"
    for name, figure in figures.items():
        (FOLDER / f"{name}.svg").write_text(draw_svg(figure), encoding="utf-8")


if __name__ == "__main__":
    main()
