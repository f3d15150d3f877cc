import pytest

from spacy_tabcnn.corpora.brat import (
    BratDocument,
    brat_to_docs,
    docs_to_brat,
    read_brat,
    write_brat,
)
from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.formats import guess_format, read_annotations
from spacy_tabcnn.corpora.options import ReadingOptions

TEXT = "Sony 📺 hired\nAda Lovelace."
# Relations may precede their entities. brat writes what crosses a line break in pieces.
LINES = [
    "R1\tEmploys Arg1:T1 Arg2:T2\t",
    "T1\tOrg 0 4\tSony",
    "T2\tPerson 13 16;17 25\tAda Lovelace",
    "",
]


def convert(nlp, lines, text=TEXT, **options):
    [doc], report = brat_to_docs([BratDocument("a", text, lines, "in/a.ann")], nlp, **options)
    return doc, report


def relations_of(doc):
    return [(head.text, tail.text, label) for head, tail, label, _ in doc._.relations]


def test_entities_and_relations_are_read(nlp):
    doc, report = convert(nlp, LINES)
    assert doc.text == TEXT
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Sony", "Org"),
        ("Ada Lovelace", "Person"),
    ]
    assert relations_of(doc) == [("Sony", "Ada Lovelace", "Employs")]
    assert doc.user_data["orig_id"] == "a"
    assert not report.dropped and not report.ignored


def test_an_entity_across_a_line_break_is_written_in_pieces(nlp):
    text = "Ada\r\nLovelace of Sony"
    doc, _ = convert(nlp, ["T1\tPerson 0 3;5 13\tAda Lovelace", "T2\tOrg 17 21\tSony"], text)
    assert doc.ents[0].text == "Ada\r\nLovelace"
    [written], _ = docs_to_brat([doc])
    assert written == BratDocument(
        "a", text, ["T1\tPerson 0 3;5 13\tAda Lovelace", "T2\tOrg 17 21\tSony"]
    )


def test_the_order_of_the_arguments_is_that_of_their_names(nlp):
    lines = [*LINES[1:], "R1\tEmploys Arg2:T2 Arg1:T1", "R2\tCoref Anaphora:T2 Antecedent:T1"]
    doc, _ = convert(nlp, lines)
    assert relations_of(doc) == [
        ("Sony", "Ada Lovelace", "Employs"),
        ("Ada Lovelace", "Sony", "Coref"),
    ]


def test_discontinuous_entities_are_left_out_with_their_relations(nlp):
    doc, report = convert(nlp, ["T1\tOrg 0 4;7 12\tSony hired", *LINES[2:], LINES[0]])
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace"]
    assert report.dropped == {Reason.DISCONTINUOUS: 1, Reason.LOST_ARGUMENT: 1}
    assert report.examples[Reason.DISCONTINUOUS] == "in/a.ann, line 1: 'Sony hired' (Org)"


def test_other_lines_are_counted_and_their_relations_left_out(nlp):
    others = [
        "A1\tNegated E1",
        "M1\tSpeculation E1",
        "N1\tReference T1 Wikidata:Q41187\tSony",
        "#1\tAnnotatorNotes T1\tsure?",
        "*\tEquiv T1 T2",
    ]
    _, report = convert(nlp, [*LINES, *others, "R2\tCauses Arg1:N1 Arg2:T1"], source="in")
    assert report.examples == {Reason.NOT_AN_ENTITY: "in/a.ann, line 10: Causes (N1 -> T1)"}
    names = ("attributes", "equivalences", "modifications", "normalizations", "notes")
    assert report.ignored == dict.fromkeys(names, 1)


EVENT_TEXT = "Rain caused floods and losses in Oslo."
EVENT_LINES = [
    "R1\tHappenedIn Arg1:E1 Arg2:T5",
    "E1\tCause:T2 Source:T1 Effect:E2 Effect2:T4 ",
    "T1\tThing 0 4\tRain",
    "T2\tCause 5 11\tcaused",
    "T3\tFlood 12 18\tfloods",
    "T4\tThing 23 29\tlosses",
    "T5\tLoc 33 37\tOslo",
    "E2\tFlood:T3",
]


def test_an_event_stands_for_its_trigger(nlp):
    doc, report = convert(nlp, EVENT_LINES, EVENT_TEXT)
    assert relations_of(doc) == [("caused", "Oslo", "HappenedIn")]
    assert report.ignored == {"arguments of events": 3}
    assert not report.dropped


def test_arguments_of_events_are_read_as_relations_when_asked_for(nlp):
    options = ReadingOptions(event_arguments=True)
    doc, report = convert(nlp, EVENT_LINES, EVENT_TEXT, options=options)
    assert relations_of(doc) == [
        ("caused", "Oslo", "HappenedIn"),
        ("caused", "Rain", "Source"),
        ("caused", "floods", "Effect"),
        ("caused", "losses", "Effect"),
    ]
    assert not report.ignored and not report.dropped


def test_roles_that_only_differ_in_their_number_stay_different(nlp):
    lines = [*EVENT_LINES[2:7], "E1\tCause:T2 Arg1:T1 Arg2:T4"]
    options = ReadingOptions(event_arguments=True)
    doc, _ = convert(nlp, lines, EVENT_TEXT, options=options)
    assert [relation.label for relation in doc._.relations] == ["Arg1", "Arg2"]


def test_events_of_one_trigger_share_its_relations(nlp):
    lines = [*EVENT_LINES[2:7], "E1\tCause:T2", "E2\tCause:T2", "R1\tIn Arg1:E2 Arg2:T5"]
    doc, _ = convert(nlp, lines, EVENT_TEXT)
    assert relations_of(doc) == [("caused", "Oslo", "In")]


def test_a_discontinuous_trigger_is_left_out_with_its_relations(nlp):
    lines = ["T2\tCause 5 11;23 29\tcaused losses", *EVENT_LINES[:3], *EVENT_LINES[4:]]
    options = ReadingOptions(event_arguments=True)
    doc, report = convert(nlp, lines, EVENT_TEXT, options=options)
    assert not doc._.relations
    assert report.dropped == {Reason.DISCONTINUOUS: 1, Reason.LOST_ARGUMENT: 4}


def test_offsets_may_count_utf16(nlp):
    lines = ["T1\tPerson 14 26\tAda Lovelace"]
    text = "Sony 📺 hired\nAda Lovelace."
    doc, _ = convert(nlp, lines, text, options=ReadingOptions(utf16=True))
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace"]
    lines = ["T1\tPerson 15 27\tAda Lovelace"]
    text = text.replace("\n", "\r\n")
    doc, _ = convert(nlp, lines, text, options=ReadingOptions(utf16=True))
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace"]


def test_all_bad_pairs_of_a_folder_are_named_in_one_run(nlp, tmp_path):
    for name, text, line in (
        ("a", "Sony", "T1\tOrg 0 9\tSony"),
        ("b", "Sony", "T1\tOrg 0 4\tSony"),
        ("c", None, "T1\tOrg 0 4\tSony"),
    ):
        (tmp_path / f"{name}.ann").write_text(line)
        if text is not None:
            (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(ValueError, match=r"2 records(.|\n)*a\.ann, line 1(.|\n)*c\.txt: no such"):
        read_annotations(tmp_path, nlp)
    [doc], report = read_annotations(tmp_path, nlp, options=ReadingOptions(skip_bad=True))
    assert doc.user_data["orig_id"] == "b"
    assert len(report.bad_records) == 2


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("counts_mark", [True, False])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("counts_return", [True, False])
def test_offsets_count_what_the_quoted_texts_say(nlp, mark, counts_mark, newline, counts_return):
    shift = len(mark) if counts_mark else 0
    late = shift + (len(newline) - 1 if counts_return else 0)
    lines = [f"T1\tOrg {shift} {4 + shift}\tSony", f"T2\tPerson {17 + late} {25 + late}\tLovelace"]
    text = "Sony 📺 hired\nAda Lovelace.".replace("\n", newline)
    doc, _ = convert(nlp, lines, mark + text)
    assert doc.text == text
    assert [ent.text for ent in doc.ents] == ["Sony", "Lovelace"]


def test_strict_mode_names_file_and_line(nlp):
    message = (
        r"^in/a\.ann, line 3: entity 'Son' \(Org, characters 0-3\) "
        "does not begin and end at token boundaries"
    )
    with pytest.raises(ValueError, match=message):
        convert(nlp, ["", "", "T1\tOrg 0 3\tSon"], strict=True)


@pytest.mark.parametrize(
    "line,message",
    [
        (
            "T3\tOrg 0 99\tSony",
            "it spans characters 0 to 99 .exclusive., but the text has 26 characters",
        ),
        ("T3\tOrg 95 4\tSony", "it spans characters 95 to 4 .exclusive."),
        ("T3\tOrg 4 4\t", "it spans characters 4 to 4 .* an entity has at least one"),
        ("T3\tOrg 1 5\tSony", "its offsets mark 'ony ', but it quotes 'Sony'. Correct the offsets"),
        ("T3\tOrg 0 4", "cannot read 'T3.*Org 0 4'; expected T1<TAB>Type"),
        ("T3 Org 0 4 Sony", "cannot read"),
        ("T1\tOrg 0 4\tSony", "the id 'T1' is also the id of entity 0"),
        ("R2\tEmploys Arg1:T1 Arg2:T9", "Arg2 is 'T9', the id of no entity"),
        ("R2\tEmploys Arg1:T1 Arg1:T2", "both arguments are named 'Arg1'"),
        ("R2\tEmploys Arg1:T1", "cannot read"),
        ("Hello", "cannot read 'Hello'"),
        ("E1\tHire", "cannot read 'E1.*Hire'"),
        ("E1\tHire:T9", "the trigger is 'T9', the id of no entity"),
        ("R2\tEmploys Arg1:E4 Arg2:T2", "Arg1 is 'E4', the id of no entity"),
    ],
)
def test_malformed_lines_name_the_place(nlp, line, message):
    with pytest.raises(ValueError, match=rf"^in/a\.ann, line 5: {message}"):
        convert(nlp, [*LINES, line])


def test_a_folder_is_read_with_its_sub_folders(nlp, tmp_path):
    (tmp_path / "b").mkdir()
    for name, text in (
        ("b/x.y.txt", b"Sony"),
        ("b/x.y.ann", b"T1\tOrg 0 4\tSony\r\n"),
        ("notes.txt", b"Hm"),
    ):
        (tmp_path / name).write_bytes(text)
    [doc], report = brat_to_docs(read_brat(tmp_path), nlp)
    assert (doc.user_data["orig_id"], doc.ents[0].text) == ("b/x.y", "Sony")
    assert report.ignored == {"texts without an .ann file": 1}


@pytest.mark.parametrize("suffix", [".txt", ".ann"])
def test_one_pair_is_written_and_read(nlp, tmp_path, suffix):
    document = BratDocument("a", TEXT.replace("\n", "\r\n"), ["T1\tOrg 0 4\tSony"])
    path = tmp_path / "new" / f"a{suffix}"
    write_brat(path, [document])
    assert guess_format(path) == "brat"
    [(name, text, lines, where)] = read_brat(path)
    assert (name, text, list(lines)) == document[:3]
    assert where == str(tmp_path / "new" / "a.ann")


def test_files_are_named_after_ids_that_can_name_a_file(nlp, make_doc):
    docs = [make_doc("a", [], []) for _ in range(5)]
    for doc, orig_id in zip(docs, ("../x", 12, "Żółw-1.v2", "żółw-1.V2", ""), strict=True):
        doc.user_data["orig_id"] = orig_id
    documents, _ = docs_to_brat(docs)
    assert [document.name for document in documents] == [
        "doc0",
        "12",
        "Żółw-1.v2",
        "żółw-1.V2_3",
        "doc4",
    ]


def test_a_folder_with_other_annotations_is_not_mixed_with_new_ones(tmp_path):
    (tmp_path / "old.ann").touch()
    with pytest.raises(ValueError, match="the folder holds other texts or annotations"):
        write_brat(tmp_path, [BratDocument("a", TEXT, [])])


def test_a_pair_of_files_holds_one_document(tmp_path):
    with pytest.raises(ValueError, match=r"a\.ann: a pair of files holds one document, not 0"):
        write_brat(tmp_path / "a.ann", [])


def test_labels_with_white_space_are_refused(make_doc):
    with pytest.raises(
        ValueError, match="document 0: brat's labels hold no white space, but one is 'Work For'"
    ):
        docs_to_brat([make_doc("Ada Sony", [(0, 1, "P"), (1, 2, "O")], [(0, 1, "Work For")])])


def test_missing_files_and_other_encodings_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.txt and \.ann files"):
        list(read_brat(tmp_path))
    (tmp_path / "a.ann").write_bytes("T1\tOrg 0 4\tŁódź".encode("iso-8859-2"))
    with pytest.raises(ValueError, match=r"a\.txt: no such file"):
        list(read_brat(tmp_path))
    (tmp_path / "a.txt").write_bytes("W Łodzi".encode("iso-8859-2"))
    with pytest.raises(ValueError, match=r"a\.txt: not UTF-8 text \(byte 2: "):
        list(read_brat(tmp_path))
    (tmp_path / "a.txt").write_bytes("Łódź".encode())
    with pytest.raises(ValueError, match=r"a\.ann, line 1: not UTF-8 text \(byte 11: "):
        [list(document.lines) for document in read_brat(tmp_path)]


def test_a_piece_may_lie_within_another(nlp):
    document = BratDocument("a", "abcde fghij", ["T1\tL 0 11;3 5\tabcde fghij de"])
    [doc], _ = brat_to_docs([document], nlp)
    assert [ent.text for ent in doc.ents] == ["abcde fghij"]
