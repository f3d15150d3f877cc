"""The relations of annotated documents as a table: a row for each mention of a relation."""

import csv
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path

from ..files import open_output
from .mentions import EntityMention, KeyFunction, Mentions

# The beginnings of cells that a spreadsheet computes, and of their variants in full width.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Columns for one argument of a relation.
_ARGUMENT_COLUMNS = ("", "_label", "_text", "_start", "_end", "_score")


def write_edges(
    output: Path, documents: Iterable[Mentions], *, key: KeyFunction, keep_formulas: bool = False
) -> int:
    """Write a CSV file with a row for each mention of a relation.

    output (Path): The file to write.
    documents (Iterable[Mentions]): The entities and the relations of each document.
    key (KeyFunction): Mentions with the same key are one node. The columns `head` and `tail` have
        the names of the nodes.
    keep_formulas (bool): Write texts as they are, also if a spreadsheet would compute them.
    RETURNS (int): Number of rows.
    RAISES (OSError): If the file cannot be written; an old one is kept.
    """
    head_columns = [f"head{name}" for name in _ARGUMENT_COLUMNS]
    tail_columns = [f"tail{name}" for name in _ARGUMENT_COLUMNS]
    n_edges = 0
    with open_output(output) as file_:
        text = TextIOWrapper(file_, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow([*head_columns, "relation", *tail_columns, "score", "document"])
        for _, relations in documents:
            for head, tail, label, score in relations:
                cells = (*_get_cells(head, key), label, *_get_cells(tail, key), score)
                row = (*cells, head.document)
                writer.writerow(escape_formulas(row, keep_formulas))
                n_edges += 1
        text.flush()
        text.detach()
    return n_edges


def escape_formulas(cells: Iterable[object], keep_formulas: bool) -> Iterable[object]:
    """Put an apostrophe before each text that a spreadsheet would compute.

    cells (Iterable[object]): The cells of a row.
    keep_formulas (bool): Return the cells as they are.
    RETURNS (Iterable[object]): The cells.
    """
    if keep_formulas:
        return cells
    return map(_escape_formula, cells)


def _escape_formula(cell: object) -> object:
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def _get_cells(entity: EntityMention, key: KeyFunction) -> tuple[object, ...]:
    name, _ = key(entity)
    return (name, entity.label, entity.text, entity.start, entity.end, entity.score)
