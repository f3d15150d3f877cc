"""A DataFrame through a pipeline."""

import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import spacy
import torch
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_tabcnn.bulk import spark as module
from spacy_tabcnn.bulk.spark import annotate, annotate_batches

from .conftest import TOO_LONG

pa = pytest.importorskip("pyarrow")
OPTIONS = {"text_column": "body", "batch_size": 3, "n_threads": 1}


def find_java():
    """The major version of the Java that Spark would start, or None."""
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=os.path.join(home, "bin") if home else None)
    if command is None:
        return None
    printed = subprocess.run([command, "-version"], capture_output=True, text=True).stderr
    match = re.search(r'version "(\d+)', printed)
    return match and int(match[1])


@pytest.fixture(scope="module")
def session():
    """Spark on this machine, with two workers."""
    pytest.importorskip("pyspark", reason="needs pyspark: pip install -r requirements-spark.txt")
    if (find_java() or 0) < 17:
        pytest.skip("needs Java 17 or later, on the PATH or in JAVA_HOME")
    from pyspark.sql import SparkSession

    options = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "8",
        # What makes a long job faster and a short one slower.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").appName("tests")
        for name, value in options.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()


@pytest.fixture(scope="module")
def model(tiny_run):
    return tiny_run / "model-last"


@pytest.fixture(scope="module")
def texts(tiny_corpus):
    """The sentences that the model has learned, in other orders, and texts without annotation."""
    learned = [doc.text for doc in DocBin().from_disk(tiny_corpus).get_docs(Vocab())]
    return [*learned, "", None, *learned[::-1], TOO_LONG, "Łódź 🧪", *learned[3:]]


@pytest.fixture(scope="module")
def records(texts):
    """Rows with values that change easily on their way: beyond the range of nanoseconds or of
    floats, or null."""
    return [
        {
            "id": 2**53 + 1 + index if index % 3 else None,
            "body": text,
            "time": datetime(1500, 1, 1 + index % 28),
            "meta": {"tags": ["a", None], "n": 2**60 + 1},
        }
        for index, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def df(session, records):
    schema = "id long, body string, time timestamp_ntz, meta struct<tags: array<string>, n: long>"
    return session.createDataFrame(records, schema)


@pytest.fixture(scope="module")
def rows(df, model):
    """The annotated rows, as Spark returns them."""
    assert df.rdd.getNumPartitions() == 2
    return [row.asDict(recursive=True) for row in annotate(df, model, **OPTIONS).collect()]


@pytest.fixture(scope="module")
def batch(records):
    return pa.RecordBatch.from_pylist([record for record in records if record["body"] != TOO_LONG])


@pytest.mark.spark
def test_the_schema_is_known_before_anything_is_annotated(df, model):
    schema = annotate(df, model, **OPTIONS).schema
    assert schema.fields[:4] == df.schema.fields
    assert [f"{field.name} {field.dataType.simpleString()}" for field in schema.fields[4:]] == [
        "entities array<struct<start:bigint,end:bigint,label:string,score:double>>",
        "relations array<struct<head:bigint,tail:bigint,label:string,score:double>>",
        "error string",
    ]


@pytest.mark.spark
def test_rows_keep_their_order_and_their_values(rows, records):
    assert [{name: row[name] for name in records[0]} for row in rows] == records


@pytest.mark.spark
def test_each_row_has_what_the_pipeline_finds(rows, model):
    annotated = [row for row in rows if row["error"] is None]
    docs = list(spacy.load(model).pipe(row["body"] for row in annotated))
    for row, doc in zip(annotated, docs, strict=True):
        ents, relations = list(doc.ents), doc._.relations
        assert [(item["start"], item["end"], item["label"]) for item in row["entities"]] == [
            (ent.start_char, ent.end_char, ent.label_) for ent in ents
        ]
        assert [
            (ents[item["head"]], ents[item["tail"]], item["label"]) for item in row["relations"]
        ] == [(relation.head, relation.tail, relation.label) for relation in relations]
        scores = [item["score"] for item in (*row["entities"], *row["relations"])]
        expected = [
            *(ent._.entity_score for ent in ents),
            *(relation.score for relation in relations),
        ]
        assert scores == pytest.approx(expected, abs=1e-5)
    assert sum(len(doc._.relations) for doc in docs) >= 20


@pytest.mark.spark
def test_a_text_that_cannot_be_annotated_has_an_error_and_no_annotation(rows, texts):
    failed = {index: row for index, row in enumerate(rows) if row["error"] is not None}
    assert list(failed) == [index for index, text in enumerate(texts) if text in (None, TOO_LONG)]
    null, too_long = failed.values()
    assert null["error"] == "the text is null" and too_long["error"].startswith(
        "ValueError: [E088]"
    )
    assert all(row["entities"] is None and row["relations"] is None for row in failed.values())


@pytest.mark.spark
def test_columns_that_have_the_names_of_the_annotation_are_refused(df, model):
    clashing = df.withColumnsRenamed({"id": "Entities", "meta": "error"})
    with pytest.raises(
        ValueError, match=r"the columns Entities, error already.* Rename or drop them"
    ):
        annotate(clashing, model, **OPTIONS)


@pytest.mark.spark
@pytest.mark.parametrize(
    "options,message",
    [
        ({}, "0 columns 'text'; its columns are id, body, time, meta. Name the one"),
        ({"text_column": "id"}, "the column 'id' holds bigint; expected string"),
        ({"text_column": "body", "batch_size": 0}, "batch_size is 0; expected at least 1"),
        ({"text_column": "body", "n_threads": 0}, "n_threads is 0; expected at least 1"),
    ],
)
def test_malformed_arguments_are_named(df, model, options, message):
    with pytest.raises(ValueError, match=message):
        annotate(df, model, **options)


def test_a_missing_spark_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql.types", None)
    with pytest.raises(ImportError, match=re.escape('pip install "spacy-tabcnn[spark]"')):
        annotate(None, "model")


def test_a_process_loads_the_pipeline_once(model, batch, monkeypatch):
    loaded = []

    def load(name):
        loaded.append(name)
        return spacy.blank("en")

    monkeypatch.setattr(module, "load_pipeline", load)
    module._load_once.cache_clear()
    for _ in range(3):
        assert sum(
            part.num_rows for part in annotate_batches(iter([batch]), model=str(model), **OPTIONS)
        ) == len(batch)
    assert loaded == [str(model)]
    module._load_once.cache_clear()


def test_a_pipeline_that_was_trained_anew_is_loaded_anew(model, batch, tmp_path):
    def count_entities():
        parts = annotate_batches(iter([batch]), model=str(tmp_path / "model"), **OPTIONS)
        return sum(
            len(entities or ())
            for part in parts
            for entities in part.column("entities").to_pylist()
        )

    shutil.copytree(model, tmp_path / "model")
    assert count_entities() > 0
    shutil.rmtree(tmp_path / "model")
    config = {"components": {"tabcnn": {"entities": "given"}}}
    spacy.load(model, config=config).to_disk(tmp_path / "model")
    assert count_entities() == 0


def test_threads_are_capped(model, batch):
    torch.set_num_threads(2)
    list(annotate_batches(iter([batch]), model=str(model), **OPTIONS))
    assert torch.get_num_threads() == 1


def test_a_missing_pipeline_stops_the_job(batch, tmp_path):
    with pytest.raises(ValueError, match="none: neither an installed pipeline nor a folder of one"):
        list(annotate_batches(iter([batch]), model=str(Path(tmp_path, "none")), **OPTIONS))
