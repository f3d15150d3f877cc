"""The heads need torch only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spacy_tabcnn.heads

HEADS = Path(spacy_tabcnn.heads.__file__).parent
FORBIDDEN = {"spacy", "thinc", "spacy_transformers", "transformers"}
# The modules of the package, outside `heads`, that a head may import.
GROUND = {"labels"}

SCRIPT = """
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("spacy", "thinc"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
import torch

from spacy_tabcnn.heads import PFN, PairClassifier, SpERT, TableBiaffine, TableCNN, TableSequence
from spacy_tabcnn.labels import tag_rules

words, lengths = torch.randn(5, 4), torch.tensor([2, 3])
heads = TableCNN(4, 5, 3, hidden=(8,)), TableBiaffine(4, 3, tag_rules(5)), TableSequence(4, 5, 3)
for head in heads:
    tags, relations = head(words, lengths)
    assert tags.shape == (5, 5) and relations.shape == (4, 3)
spans, pairs = torch.tensor([[0, 1, 0], [1, 2, 0]]), torch.tensor([[0, 1]])
assert SpERT(4, 3, 2)(words, torch.randn(2, 4), spans, pairs)[1].shape == (1, 2)
assert PairClassifier(4, 1, 2)(words, spans, pairs).shape == (1, 5)
entities, relations = PFN(4, 3, 2)(words, lengths)
assert entities.shape == (9, 3) and relations.shape == (8, 2)
assert "spacy" not in sys.modules
"""


def imported_modules(path):
    """Absolute names of what a file imports, those of this package without its name."""
    package = [*path.relative_to(HEADS.parent).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (("", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield "", node.module
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (("spacy_tabcnn", ".".join([*parent, name])) for name in names)


@pytest.mark.parametrize("path", sorted(HEADS.rglob("*.py")), ids=lambda path: path.stem)
def test_a_head_imports_neither_spacy_nor_rooms_above(path):
    for owner, name in imported_modules(path):
        first = name.partition(".")[0]
        if owner or first == "spacy_tabcnn":
            assert first in GROUND | {"heads"}, f"{path} imports {name}"
        else:
            assert first not in FORBIDDEN, f"{path} imports {name}"


def test_heads_run_without_spacy_and_thinc():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
