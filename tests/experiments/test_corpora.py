"""The conventions of the paper's corpora."""

from experiments.corpora import get_convention
from experiments.paper import read_paper


def test_ade_has_macro_averages_over_folds():
    ade = get_convention("ADE")
    assert (ade.score_suffix, ade.repeat, ade.has_layer_tables) == ("macro_f", "fold", False)


def test_conll04_has_micro_averages_over_seeds_and_the_tables_of_layers():
    conll04 = get_convention("CoNLL04")
    assert (conll04.score_suffix, conll04.repeat, conll04.has_layer_tables) == ("f", "seed", True)


def test_a_corpus_that_is_not_in_the_paper_has_micro_averages_over_seeds():
    other = get_convention("SciERC")
    assert (other.score_suffix, other.repeat, other.has_layer_tables) == ("f", "seed", False)


def test_the_papers_tables_name_the_same_corpora():
    paper = read_paper()
    corpora = paper["table1"]["corpora"].keys()
    assert corpora == paper["table4_datasets"].keys()
    assert corpora == paper["table5_hyperparameters"]["corpora"].keys()
