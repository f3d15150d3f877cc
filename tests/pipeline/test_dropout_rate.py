"""A dropout rate that leaves nothing, or is no share, is refused before anything changes."""

import pytest
import spacy


@pytest.mark.parametrize("drop", [1.0, 1.5, -0.1, float("nan")])
@pytest.mark.parametrize("name", ["tabcnn", "spert", "pfn", "sentence_starts"])
def test_it_is_refused(name, drop, make_examples):
    nlp = spacy.blank("en")
    nlp.add_pipe(name)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match=rf"Component '{name}': dropout is {drop}; expected a"):
        nlp.update(examples, drop=drop)
