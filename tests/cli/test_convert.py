import json

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.vocab import Vocab

CURIE = {
    "tokens": ["Marie", "Curie", "worked", "in", "Paris"],
    "entities": [{"type": "Peop", "start": 0, "end": 2}, {"type": "Loc", "start": 4, "end": 5}],
    "relations": [{"type": "Live_In", "head": 0, "tail": 1}],
    "orig_id": 1,
}
OVERLAPPING = {
    **CURIE,
    "entities": [*CURIE["entities"], {"type": "Peop", "start": 1, "end": 2}],
    "orig_id": 2,
}


DYGIEPP = {
    "doc_key": "a",
    "sentences": [["Marie", "Curie", "worked", "."], ["Paris", "shone", "."]],
    "ner": [[[0, 1, "Peop"]], [[4, 4, "Loc"]]],
    "relations": [[], []],
}


@pytest.fixture
def spert(tmp_path):
    """A SpERT file with one sentence."""
    return write(tmp_path / "curie.json", [CURIE])


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def flat(result):
    """The output without the line breaks that depend on the terminal's width."""
    return " ".join(result.output.split())


def test_convert_writes_docs_with_relations(run_spacy, spert, tmp_path):
    output = tmp_path / "new" / "folder" / "curie.spacy"
    result = run_spacy("tabcnn", "convert", spert, output)
    assert result.exit_code == 0
    [doc] = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
    assert [(rel.head.text, rel.tail.text, rel.label) for rel in doc._.relations] == [
        ("Marie Curie", "Paris", "Live_In")
    ]


def test_counts_are_printed(run_spacy, spert, tmp_path):
    output = flat(run_spacy("tabcnn", "convert", spert, tmp_path / "curie.spacy"))
    assert "1 documents in" in output
    assert "Entities Count -------- ----- Loc 1 Peop 1 all kept 2 all read 2" in output
    assert "Relations Count --------- ----- Live_In 1 all kept 1 all read 1" in output
    assert "Nothing left out" in output


def test_what_was_left_out_is_printed_with_an_example(run_spacy, tmp_path):
    path = write(tmp_path / "a.json", [OVERLAPPING])
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy")
    assert result.exit_code == 0
    assert "entity overlaps a larger entity 1" in flat(result)
    assert "sentence 0 (orig_id 2): 'Curie' (Peop, tokens 1-2)" in flat(result)
    assert "all kept 2 all read 3" in flat(result)


def test_strict_mode_stops_without_writing(run_spacy, tmp_path):
    path = write(tmp_path / "a.json", [OVERLAPPING])
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy", "--strict")
    assert result.exit_code == 1
    assert "overlaps a larger entity" in flat(result)
    assert not (tmp_path / "a.spacy").exists()


@pytest.mark.parametrize("option", ["--format", "--to"])
def test_convert_back(run_spacy, spert, tmp_path, option):
    run_spacy("tabcnn", "convert", spert, tmp_path / "curie.spacy")
    result = run_spacy(
        "tabcnn", "convert", tmp_path / "curie.spacy", tmp_path / "back.json", option, "spert"
    )
    assert result.exit_code == 0
    assert read(tmp_path / "back.json") == [CURIE]


def test_one_annotation_format_to_another(run_spacy, spert, tmp_path):
    result = run_spacy("tabcnn", "convert", spert, tmp_path / "tags.json", "--to", "tablert")
    assert result.exit_code == 0
    assert read(tmp_path / "tags.json")[0]["tags"] == ["B-Peop", "L-Peop", "O", "O", "U-Loc"]


def test_predictions_are_written_for_annotation_tools(run_spacy, spert, tmp_path):
    arguments = ("tabcnn", "convert", spert, tmp_path / "tasks.json", "--to", "labelstudio")
    result = run_spacy(*arguments, "--as", "predictions", "--model-version", "m-1")
    assert result.exit_code == 0 and "1 documents written as predictions" in flat(result)
    [task] = read(tmp_path / "tasks.json")
    assert "annotations" not in task and task["predictions"][0]["model_version"] == "m-1"
    result = run_spacy("tabcnn", "convert", tmp_path / "tasks.json", tmp_path / "a.spacy")
    assert "The output holds no document" in result.output
    result = run_spacy(
        "tabcnn", "convert", tmp_path / "tasks.json", tmp_path / "a.spacy", "--predictions"
    )
    assert result.exit_code == 0 and "1 documents in" in flat(result)


def test_a_spacy_file_needs_no_form(run_spacy, spert, tmp_path):
    arguments = ("tabcnn", "convert", spert, tmp_path / "a.spacy", "--as", "predictions")
    result = run_spacy(*arguments)
    assert result.exit_code == 1 and "--as is for annotation files" in flat(result)


def test_jsonl_output_is_doccano(run_spacy, spert, tmp_path):
    run_spacy("tabcnn", "convert", spert, tmp_path / "curie.jsonl")
    assert read(tmp_path / "curie.jsonl")["text"] == "Marie Curie worked in Paris "


def test_dygiepp_is_told_from_its_content(run_spacy, spert, tmp_path):
    result = run_spacy("tabcnn", "convert", spert, tmp_path / "docs.json", "--to", "dygiepp")
    assert result.exit_code == 0
    result = run_spacy(
        "tabcnn", "convert", tmp_path / "docs.json", tmp_path / "back.json", "--to", "spert"
    )
    assert result.exit_code == 0
    assert read(tmp_path / "back.json") == [CURIE]


@pytest.mark.parametrize(
    "name,options",
    [
        ("brat", ["--to", "brat"]),
        ("p.jsonl", ["--to", "prodigy"]),
        ("l.json", ["--to", "labelstudio"]),
    ],
)
def test_files_of_annotation_tools_are_told_from_their_content(
    run_spacy, spert, tmp_path, name, options
):
    result = run_spacy("tabcnn", "convert", spert, tmp_path / name, *options)
    assert result.exit_code == 0
    result = run_spacy(
        "tabcnn", "convert", tmp_path / name, tmp_path / "back.json", "--to", "spert"
    )
    assert result.exit_code == 0
    [sentence] = read(tmp_path / "back.json")
    assert {**sentence, "orig_id": int(sentence["orig_id"])} == CURIE


def test_ann_output_is_a_pair_of_files(run_spacy, spert, tmp_path):
    result = run_spacy("tabcnn", "convert", spert, tmp_path / "a.ann")
    assert result.exit_code == 0
    assert (tmp_path / "a.txt").read_text() == "Marie Curie worked in Paris "
    assert (tmp_path / "a.ann").read_text().splitlines() == [
        "T1\tPeop 0 11\tMarie Curie",
        "T2\tLoc 22 27\tParis",
        "R1\tLive_In Arg1:T1 Arg2:T2",
    ]


def test_strict_mode_names_the_line_of_a_pair(run_spacy, tmp_path):
    (tmp_path / "a.txt").write_text("Paris")
    (tmp_path / "a.ann").write_text("#1\tNote T1\t?\nT1\tLoc 0 3\tPar\n")
    result = run_spacy("tabcnn", "convert", tmp_path / "a.txt", tmp_path / "a.spacy", "--strict")
    assert result.exit_code == 1
    assert (
        "line 2: entity 'Par' (Loc, characters 0-3) does not begin and end at token boundaries"
        in flat(result)
    )
    result = run_spacy("tabcnn", "convert", tmp_path / "a.txt", tmp_path / "a.spacy")
    assert result.exit_code == 0
    assert "Not read: notes (1)" in flat(result)


def test_fields_that_are_not_read_are_named(run_spacy, tmp_path):
    path = write(tmp_path / "a.json", {**DYGIEPP, "clusters": [[[0, 1], [4, 4]]]})
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy", "--strict")
    assert result.exit_code == 0
    assert "Not read: clusters (1)" in flat(result)


def test_what_the_other_format_cannot_hold_is_counted(run_spacy, tmp_path):
    path = write(tmp_path / "a.json", {**DYGIEPP, "relations": [[[0, 1, 4, 4, "Live_In"]], []]})
    result = run_spacy("tabcnn", "convert", path, tmp_path / "b.json", "--to", "dygiepp")
    assert result.exit_code == 0
    assert "relation joins entities of two sentences 1" in flat(result)
    assert "Relations Count --------- ----- all kept 0 all read 1" in flat(result)
    assert "1 documents in" in flat(result)
    assert read(tmp_path / "b.json") == DYGIEPP


def test_lang_chooses_the_tokenizer(run_spacy, tmp_path):
    path = write(tmp_path / "a.jsonl", {"id": 1, "text": "can't", "entities": [], "relations": []})
    for lang, n_tokens in (("en", 2), ("xx", 1)):
        run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy", "--lang", lang)
        [doc] = DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("xx").vocab)
        assert len(doc) == n_tokens


@pytest.fixture
def hours(tmp_path):
    """A doccano file with an entity inside a token."""
    entity = {"id": 1, "start_offset": 8, "end_offset": 10, "label": "N"}
    record = {"id": 1, "text": "It took 24h", "entities": [entity], "relations": []}
    return write(tmp_path / "hours.jsonl", record)


def read_entities(path):
    [doc] = DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)
    return [ent.text for ent in doc.ents]


@pytest.mark.parametrize(
    "options,entities,message",
    [
        ([], ["24h"], "entity was widened to whole tokens 1"),
        (["--align", "expand", "--strict"], ["24h"], "entity was widened to whole tokens 1"),
        (["--align", "strict"], [], "Keep such entities with --align expand"),
        (["--align", "split"], ["24"], "1 of 1 entities impossible to find in raw text"),
    ],
)
def test_entities_inside_tokens_are_kept_by_a_rule(
    run_spacy, hours, tmp_path, options, entities, message
):
    result = run_spacy("tabcnn", "convert", hours, tmp_path / "a.spacy", *options)
    assert result.exit_code == 0
    assert message in flat(result)
    assert read_entities(tmp_path / "a.spacy") == entities


def test_many_widened_entities_are_suspect(run_spacy, hours, tmp_path):
    result = run_spacy("tabcnn", "convert", hours, tmp_path / "a.spacy")
    assert "Many entities were widened" not in flat(result)
    hours.write_text("\n".join([hours.read_text(encoding="utf-8")] * 5), encoding="utf-8")
    result = run_spacy("tabcnn", "convert", hours, tmp_path / "a.spacy")
    assert "Many entities were widened. Compare the example" in flat(result)


def test_a_tokenizer_learns_the_cuts_and_tokenises_other_files(run_spacy, hours, tmp_path):
    folder, output = tmp_path / "tokenizer", tmp_path / "a.spacy"
    options = ["--align", "split", "--tokenizer", folder]
    result = run_spacy("tabcnn", "convert", hours, output, *options)
    assert result.exit_code == 0
    assert "with 1 rules for cuts" in flat(result)
    assert "The tokenizer makes all cuts that the entities need" in flat(result)
    assert '--initialize.after_init \'{"@callbacks": "spacy.copy_from_base_model.v1"' in flat(
        result
    )
    result = run_spacy("tabcnn", "convert", hours, output, "--align", "strict", "--model", folder)
    assert "Nothing left out" in flat(result)
    assert read_entities(output) == ["24"]
    result = run_spacy("tabcnn", "convert", hours, output, *options, "--model", folder)
    assert result.exit_code == 1 and "is the --model too" in flat(result)


def test_several_inputs_are_joined(run_spacy, spert, tmp_path):
    other = write(tmp_path / "other.json", [OVERLAPPING])
    output = tmp_path / "both.spacy"
    result = run_spacy("tabcnn", "convert", spert, other, output)
    assert "2 documents in" in flat(result)
    assert "entity overlaps a larger entity 1" in flat(result)
    docs = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
    assert [doc.user_data["orig_id"] for doc in docs] == [1, 2]


def test_folds_are_made_without_a_list(run, tiny_corpus, tmp_path):
    run("tabcnn", "convert", tiny_corpus, tmp_path / "all.jsonl")
    output = run("tabcnn", "convert", tmp_path / "all.jsonl", tmp_path / "folds", "--folds", 3)
    assert "3 folds in" in output and "the folders 0 to 2" in output
    texts = []
    for number in range(3):
        fold = [
            [doc.text for doc in DocBin().from_disk(path).get_docs(Vocab())]
            for path in sorted((tmp_path / "folds" / str(number)).iterdir())
        ]
        assert not set(fold[0]) & set(fold[1]) and len(fold[0] + fold[1]) == 10
        texts += fold[0]
    assert len(texts) == 10 and len(set(texts)) == 10


@pytest.mark.parametrize(
    "folds, message", [("1", "expected at least two"), ("11", "cannot be divided into 11 parts")]
)
def test_impossible_numbers_of_folds_are_refused(
    run, run_spacy, tiny_corpus, tmp_path, folds, message
):
    run("tabcnn", "convert", tiny_corpus, tmp_path / "all.jsonl")
    result = run_spacy(
        "tabcnn", "convert", tmp_path / "all.jsonl", tmp_path / "folds", "--folds", folds
    )
    assert result.exit_code == 1 and message in " ".join(result.output.split())


def test_folds_make_a_folder_each(run_spacy, tmp_path):
    path = write(tmp_path / "a.json", [CURIE, OVERLAPPING])
    folds = write(tmp_path / "folds.json", [[2], [1]])
    result = run_spacy("tabcnn", "convert", path, tmp_path / "folds", "--folds", folds)
    assert result.exit_code == 0
    assert "2 documents in" in flat(result) and "the folders 0 to 1" in flat(result)
    assert "entity overlaps a larger entity 1" in flat(result)
    for name, orig_id in (("0/test", 2), ("0/train", 1), ("1/test", 1), ("1/train", 2)):
        [doc] = (
            DocBin()
            .from_disk(tmp_path / "folds" / f"{name}.spacy")
            .get_docs(spacy.blank("en").vocab)
        )
        assert doc.user_data["orig_id"] == orig_id


@pytest.mark.parametrize(
    "expect,message",
    [
        ("1/2/1", "As expected: 1 sentences, 2 entity types, 1 relation types"),
        (
            "9/2/7",
            "Differs from the expected counts: 1 sentences instead of 9, "
            "1 relation types instead of 7",
        ),
    ],
)
def test_published_counts_are_compared(run_spacy, spert, tmp_path, expect, message):
    result = run_spacy("tabcnn", "convert", spert, tmp_path / "curie.spacy", "--expect", expect)
    assert result.exit_code == 0
    assert message in flat(result)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["absent.json", "out.spacy"], "absent.json: no such file"),
        (["absent.spacy", "out.json", "--format", "spert"], "absent.spacy: no such file"),
        (["curie.json", "out.spacy", "--format", "conll"], "unknown annotation format 'conll'"),
        (["curie.json", "out.spacy", "--format", "tablert"], "the field 'tags' is missing"),
        (
            ["curie.json", "out.json"],
            "out.json: cannot tell the format to write. Name it: spert, tablert",
        ),
        (["curie.spacy", "out.spacy"], "Give an annotation file on one side"),
        (["curie.json", "curie.spacy", "out.spacy"], "the inputs mix .spacy and annotation files"),
        (
            ["curie.json", "out.spacy", "--expect", "922/4"],
            "--expect is '922/4'; expected sentences/entity",
        ),
        (["curie.json", "out.spacy", "--lang", "zzz"], "zzz"),
        (["curie.json", "out", "--folds", "absent.json"], "absent.json: no such file"),
        (
            ["curie.spacy", "out", "--folds", "folds.json"],
            "--folds makes .spacy files of annotation files",
        ),
        (["curie.json", "curie.json/out.spacy"], "curie.json"),
        (["curie.json", "out.spacy", "--tokenizer", "new"], "and --align split"),
        (["curie.json", "out.spacy", "--model", "zzz"], "zzz"),
    ],
)
def test_bad_input_is_a_message_and_exit_code_1(
    run_spacy, spert, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    result = run_spacy("tabcnn", "convert", *arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert message in flat(result)


DOCCANO = {
    "id": 1,
    "text": "Ann of Rome",
    "entities": [{"id": 1, "start_offset": 0, "end_offset": 3, "label": "PER"}],
    "relations": [],
}


def test_malformed_records_are_listed_or_left_out(run_spacy, tmp_path):
    bad = {**DOCCANO, "entities": [{**DOCCANO["entities"][0], "end_offset": 99}]}
    path = write(tmp_path / "a.json", [bad, DOCCANO, bad])
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy")
    assert result.exit_code == 1
    assert "2 records cannot be read." in flat(result)
    assert "document 0, entity 0" in flat(result) and "document 2, entity 0" in flat(result)
    assert not (tmp_path / "a.spacy").exists()
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy", "--skip-bad")
    assert result.exit_code == 0
    assert "1 documents in" in flat(result)
    assert "Malformed records left out (2):" in flat(result)
    assert "left out" in flat(result) and "Nothing left out" not in flat(result)


def test_relations_that_were_not_annotated_are_counted(run_spacy, tmp_path):
    path = write(tmp_path / "a.jsonl", {"text": "Ann left", "spans": [], "answer": "accept"})
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy")
    assert "1 documents without annotation of relations, which stays unset" in flat(result)


@pytest.mark.parametrize(
    "record,options,kept",
    [
        ({**DOCCANO, "title": "x", "text": "", "body": "Ann left"}, ["--text-field", "body"], 1),
        (
            {
                **DOCCANO,
                "entities": [
                    {"id": 1, "start_offset": 7, "end_offset": 11, "label": "LOC"},
                    {"id": 2, "start_offset": 0, "end_offset": 11, "label": "PER"},
                ],
            },
            ["--overlap", "first"],
            1,
        ),
        (
            {
                **DOCCANO,
                "text": "😀 Ann",
                "entities": [{"id": 1, "start_offset": 3, "end_offset": 6, "label": "PER"}],
            },
            ["--utf16"],
            1,
        ),
        (
            {"data": {"text": "Ann"}, "annotations": [], "predictions": [{"result": []}]},
            ["--predictions"],
            0,
        ),
        (
            {"data": {"text": "Ann"}, "annotations": [{"result": []}, {"result": []}]},
            ["--annotator", "all"],
            0,
        ),
    ],
)
def test_options_of_reading_reach_the_reader(run_spacy, tmp_path, record, options, kept):
    path = write(tmp_path / "a.json", [record])
    with_option = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy", *options)
    without = run_spacy("tabcnn", "convert", path, tmp_path / "b.spacy")
    assert with_option.output != without.output
    assert with_option.exit_code == 0, with_option.output
    docs = DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)
    assert sum(len(doc.ents) for doc in docs) == kept


def test_event_arguments_are_read_when_asked_for(run_spacy, tmp_path):
    (tmp_path / "a.txt").write_text("Rain caused floods")
    lines = ["T1\tThing 0 4\tRain", "T2\tCause 5 11\tcaused", "E1\tCause:T2 Source:T1"]
    (tmp_path / "a.ann").write_text("\n".join(lines))
    path = tmp_path / "a.ann"
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy")
    assert "Not read: arguments of events (1)" in flat(result)
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy", "--event-arguments")
    assert "Source 1" in flat(result) and "Nothing left out" in flat(result)


def test_an_export_without_relations_names_the_right_one(run_spacy, tmp_path):
    path = write(tmp_path / "a.jsonl", {"id": 1, "text": "Ann", "label": [[0, 3, "PER"]]})
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy")
    assert result.exit_code == 1
    assert "Export the project again as JSONL(Relation)" in flat(result)


def test_malformed_records_of_all_inputs_are_listed(run_spacy, tmp_path):
    names = []
    for name in ("a.json", "b.json"):
        names.append(write(tmp_path / name, [{**DOCCANO, "text": 3}]))
    result = run_spacy("tabcnn", "convert", *names, tmp_path / "a.spacy")
    assert result.exit_code == 1
    assert "a.json, document 0" in flat(result) and "b.json, document 0" in flat(result)


def test_an_output_without_documents_is_told(run_spacy, tmp_path):
    path = write(tmp_path / "a.json", [{"data": {"text": "Ann"}, "annotations": []}])
    result = run_spacy("tabcnn", "convert", path, tmp_path / "a.spacy")
    assert "The output holds no document" in flat(result)


@pytest.mark.parametrize(
    "option",
    ["--annotator=ann", "--predictions", "--event-arguments", "--utf16", "--text-field=tokens"],
)
def test_an_option_that_the_format_cannot_use_is_refused(run_spacy, spert, tmp_path, option):
    result = run_spacy("tabcnn", "convert", spert, tmp_path / "a.spacy", option)
    assert result.exit_code == 1 and not (tmp_path / "a.spacy").exists()
    assert f"its format is spert, and {option.partition('=')[0]} applies to" in flat(result)


def test_options_of_reading_are_refused_for_docbins(run_spacy, spert, tmp_path):
    run_spacy("tabcnn", "convert", spert, tmp_path / "a.spacy")
    output = tmp_path / "a.json"
    result = run_spacy("tabcnn", "convert", tmp_path / "a.spacy", output, "-f", "spert", "--utf16")
    assert result.exit_code == 1 and not output.exists()
    assert "A .spacy file is read as it is" in flat(result)


def test_an_annotator_without_annotations_is_refused_with_the_others(run_spacy, tmp_path):
    task = {"text": "Ann", "spans": [], "answer": "accept", "_annotator_id": "db-ada"}
    source, output = write(tmp_path / "a.json", [task]), tmp_path / "a.spacy"
    result = run_spacy("tabcnn", "convert", source, output, "--annotator", "bob")
    assert result.exit_code == 1 and not output.exists()
    assert "'bob', who has annotated nothing" in flat(result)
    assert "The annotators are: db-ada" in flat(result)
    assert run_spacy("tabcnn", "convert", source, output, "--annotator", "ada").exit_code == 0
