import pytest

from spacy_tabcnn.visual.options import label_colours


def luminance(colour):
    total = 0
    for start, weight in ((1, 0.2126), (3, 0.7152), (5, 0.0722)):
        value = int(colour[start : start + 2], 16) / 255
        if value > 0.04045:
            total += weight * ((value + 0.055) / 1.055) ** 2.4
        else:
            total += weight * value / 12.92
    return total


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("n_labels", [1, 2, 7, 40])
def test_colours_differ_and_are_readable(n_labels):
    colours = label_colours(list(map(str, range(n_labels)))).values()
    assert len(set(colours)) == n_labels
    for colour in colours:
        assert contrast(colour, "#000000") >= 4.5
        assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#14171b") >= 3
