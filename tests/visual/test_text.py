from spacy_tabcnn.visual.text import clean, measure, shorten, split_at


def test_a_text_is_one_line_of_characters_that_xml_can_hold():
    assert clean(" a\n b\x00\uffff\t") == "a b\ufffd\ufffd"
    assert clean(" \n ") == ""


def test_widths_follow_the_characters():
    assert measure("ill", 10) < measure("and", 10) < measure("WWW", 10)
    assert measure("東京", 10) == 20
    assert measure("e\u0301", 10) == measure("e", 10)
    assert measure("and", 20) == 2 * measure("and", 10)


def test_a_text_is_shortened_to_a_width():
    assert shorten("word", 10, 100) == "word"
    short = shorten("a very long type", 10, 50)
    assert short.startswith("a ver") and short.endswith("…") and measure(short, 10) <= 50


def test_a_text_is_split_at_a_width():
    assert split_at("abc", 10, 100) == ("abc", "")
    assert split_at("abcd", 10, 2 * measure("a", 10)) == ("ab", "cd")
    assert split_at("abc", 10, 0) == ("a", "bc")
