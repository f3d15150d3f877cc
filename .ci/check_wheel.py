"""Check the package as its wheel installs it: contents, training, saving and prediction."""

import sys
import tarfile
from importlib.resources import files
from pathlib import Path

import spacy
from thinc.api import Config

import spacy_tabcnn
from spacy_tabcnn.corpora.reader import RelationCorpus

project, wheel_env = map(Path, sys.argv[1:])
assert Path(spacy_tabcnn.__file__).is_relative_to(wheel_env), spacy_tabcnn.__file__
with tarfile.open(next(project.glob("dist/*.tar.gz"))) as sdist:
    names = sdist.getnames()
assert any(name.endswith("spacy_tabcnn/py.typed") for name in names), names
config = files("spacy_tabcnn") / "configs" / "conll04_uncased.cfg"
assert "relation_table" in Config().from_str(config.read_text(), interpolate=False)["components"]
assert not (files("spacy_tabcnn") / "configs" / "test").is_dir()

nlp = spacy.blank("en")
nlp.add_pipe("tabcnn", config={"model": {"head": {"hidden": [32]}}})
examples = list(RelationCorpus(project / "corpus/sample/train.spacy", limit=20)(nlp))
optimizer = nlp.initialize(lambda: examples)
losses = []
for _ in range(10):
    losses.append(nlp.update(examples, sgd=optimizer)["tabcnn"])
assert losses[-1] < losses[0] / 2, losses
nlp.to_disk("model")
doc = spacy.load("model")(examples[0].reference.text)
print("from the wheel:", spacy_tabcnn.__file__, spacy_tabcnn.__version__, doc.ents)
print(doc._.relations)
