import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_tabcnn.visual.lines import Box, fill_lines, nest_boxes


def read(doc, boxes=(), width=100):
    """The texts of each line."""
    filled = fill_lines(doc[:], nest_boxes(boxes), width)
    lines = [[] for _ in range(filled.n_lines)]
    for run in filled.runs:
        assert run.left >= 0 and run.right <= width
        lines[run.line].append(run.text)
    return lines


def test_lines_break_at_spaces(make_doc):
    assert read(make_doc("aaaa bbbb cccc dddd eeee")) == [["aaaa bbbb"], ["cccc dddd"], ["eeee"]]


def test_a_box_stays_in_one_line(make_doc):
    doc = make_doc("aaaa bbbb cccc dddd")
    assert read(doc, [Box(1, 3, "X")]) == [["aaaa"], ["bbbb cccc"], ["dddd"]]


def test_a_box_that_is_longer_than_a_line_breaks(make_doc):
    doc = make_doc("aaaa bbbb cccc dddd")
    assert read(doc, [Box(0, 4, "X")]) == [["aaaa bbbb"], ["cccc dddd"]]
    parts = fill_lines(doc[:], nest_boxes([Box(0, 4, "X")]), 100).fragments[0]
    assert [part.line for part in parts] == [0, 1]


def test_a_word_that_is_longer_than_a_line_breaks(make_doc):
    lines = read(make_doc(f"a {'b' * 30} c"))
    assert len(lines) > 2 and "".join("".join(line) for line in lines) == f"a {'b' * 30} c"


def test_a_line_does_not_begin_with_punctuation(make_doc):
    assert read(make_doc("aaaaa bbbbb ,"), width=95) == [["aaaaa"], ["bbbbb ,"]]


def test_lines_break_between_chinese_characters():
    doc = Doc(Vocab(), words=["東京", "に", "ある", "会社", "です", "。"], spaces=[False] * 6)
    assert read(doc) == [["東京にある"], ["会社です。"]]


def test_words_keep_their_spaces():
    doc = Doc(Vocab(), words=["I", "don", "'t", "."], spaces=[True, False, False, False])
    assert read(doc) == [["I don't."]]


def test_white_space_is_no_word(make_doc):
    assert read(make_doc(["\n", "Ann", " \n", "lives", "\n"])) == [["Ann lives"]]
    assert read(make_doc(["\n"])) == []


def test_a_box_around_white_space_is_visible(make_doc):
    assert read(make_doc(["a", "\n"]), [Box(1, 2, "X")]) == [["a", "␣"]]


def test_a_box_has_room_for_its_label_and_its_arcs(make_doc):
    def width(box):
        [part] = fill_lines(make_doc("a")[:], [box], 800).fragments[0]
        return part.right - part.left

    assert width(Box(0, 1, "X")) < width(Box(0, 1, "X" * 20)) < 300
    assert width(Box(0, 1, "X", n_ends=20)) >= 20 * 8


@pytest.mark.parametrize(
    "bounds,depths",
    [
        ([(0, 3), (2, 3)], [0, 1]),
        ([(0, 2), (1, 3)], [0, 1]),
        ([(0, 1), (1, 2)], [0, 0]),
        ([(0, 4), (1, 3), (2, 3), (4, 5)], [0, 0, 1, 2]),
    ],
)
def test_boxes_that_overlap_are_nested(bounds, depths):
    assert [box.depth for box in nest_boxes([Box(*pair, "X") for pair in bounds])] == depths
