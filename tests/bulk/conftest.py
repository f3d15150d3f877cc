import json

import pytest
import spacy
from spacy.tokens import Span
from spacy.training import Example

TEXT = "Ann lives in Rome."
FOUND = [("Ann", "PER"), ("Rome", "LOC")], [("Ann", "LiveIn", "Rome")]
TOO_LONG = "a " * 600_000  # spaCy refuses more than a million characters


def get_names(row, field="text"):
    """Return the entities of a row as (text, label), its relations as (head, label, tail)."""
    text = row[field]
    entities = [(text[ent["start"] : ent["end"]], ent["label"]) for ent in row["entities"]]
    relations = [
        (entities[rel["head"]][0], rel["label"], entities[rel["tail"]][0])
        for rel in row["relations"]
    ]
    return entities, relations


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The folder of a pipeline that has learned one sentence by heart."""
    folder = tmp_path_factory.mktemp("bulk") / "model"
    nlp = spacy.blank("en")
    nlp.add_pipe("tabcnn", config={"model": {"tok2vec": {"width": 16}, "head": {"hidden": [16]}}})
    spacy.util.fix_random_seed(0)
    gold = nlp.make_doc(TEXT)
    gold.ents = [Span(gold, 0, 1, label="PER"), Span(gold, 3, 4, label="LOC")]
    gold._.relations = [(gold.ents[0], gold.ents[1], "LiveIn")]
    examples = [Example(nlp.make_doc(TEXT), gold)]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="session")
def read_jsonl():
    def read(path):
        return [json.loads(line) for line in path.read_bytes().decode("utf-8").split("\n") if line]

    return read


@pytest.fixture(scope="session")
def write_jsonl():
    def write(path, records):
        path.write_bytes(
            "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode(
                "utf-8"
            )
        )
        return path

    return write
