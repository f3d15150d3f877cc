import numpy as np

from spacy_tabcnn.arrays import average_logits


def test_mean_probabilities():
    logits = [np.log([[0.2, 0.8]]) + 3.0, np.log([[0.6, 0.4]])]
    np.testing.assert_allclose(average_logits(logits), np.log([[0.4, 0.6]]))


def test_certain_logits_that_disagree_stay_finite():
    logits = [np.array([[1e4, -1e4]], "f"), np.array([[-1e4, 1e4]], "f")]
    np.testing.assert_allclose(average_logits(logits), np.log([[0.5, 0.5]]), rtol=1e-6)
