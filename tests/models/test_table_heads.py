"""The thinc side of each head: dimensions, a torch module built late, dropout, gradients, saved
weights."""

import pickle
from io import BytesIO

import numpy as np
import pytest
import srsly
import torch
from spacy.util import registry
from thinc.api import Adam, set_dropout_rate

from spacy_tabcnn.models.table_heads import (
    HeadInput,
    build_table_biaffine,
    build_table_cnn,
    build_table_sequence,
)
from spacy_tabcnn.runtime import torch_shim as shim
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.logits import TableLogits

from ..conftest import HEADS

WIDTH, N_TAGS, N_RELATIONS = 6, 9, 5
LENGTHS = np.array([4, 1, 3])
WINDOWS = Windows(Sentences.of_lengths(LENGTHS), 256)


def make_inputs(seed=0):
    words = np.random.default_rng(seed).standard_normal((LENGTHS.sum(), WIDTH)).astype("float32")
    return HeadInput(
        words, WINDOWS, np.random.default_rng(seed).integers(-1, N_TAGS, LENGTHS.sum())
    )


def make_labels(n_tags=N_TAGS, n_relations=N_RELATIONS):
    """A sample of logits, which tells the head its numbers of labels."""
    return TableLogits(np.zeros((0, n_tags), "f"), np.zeros((0, n_relations), "f"), WINDOWS)


def initialize(head):
    head.set_dim("nI", WIDTH)
    head.initialize(Y=make_labels())
    return head


@pytest.fixture(params=["cnn", "biaffine", "sequence"])
def make_head(request):
    """Build a head of one module, by default an initialised one."""
    architecture, options = HEADS[request.param]
    build = registry.architectures.get(architecture)

    def make(*, is_initialized=True, **others):
        torch.manual_seed(0)
        head = build(**{**options, **others})
        return initialize(head) if is_initialized else head

    return make


def module_of(head):
    return head.shims[0]._model


def assert_same_logits(actual, expected):
    np.testing.assert_allclose(actual.tags, expected.tags, atol=1e-6)
    np.testing.assert_allclose(actual.relations, expected.relations, atol=1e-6)


# Building


def test_the_module_is_built_when_its_sizes_are_known(make_head):
    head = make_head(is_initialized=False)
    assert module_of(head) is None
    assert [head.has_dim(name) for name in ("nI", "n_tags", "n_relations")] == [None] * 3
    initialize(head)
    assert module_of(head) is not None
    assert [head.get_dim(name) for name in ("nI", "n_tags", "n_relations")] == [
        WIDTH,
        N_TAGS,
        N_RELATIONS,
    ]


@pytest.mark.parametrize(
    "options, hidden", [({}, [512]), ({"hidden": None}, [512]), ({"hidden": [8, 7]}, [8, 7])]
)
def test_cnn_hidden(options, hidden):
    head = initialize(build_table_cnn(**options))
    assert [conv.out_channels for conv in module_of(head).convs] == [*hidden, N_RELATIONS]


def test_cnn_kernel_size():
    kernels = [
        conv.kernel_size
        for conv in module_of(initialize(build_table_cnn(kernel_size=5, hidden=[8]))).convs
    ]
    assert kernels == [(5, 5), (5, 5)]


def test_cnn_separable():
    convs = module_of(initialize(build_table_cnn(separable=True, hidden=[8]))).convs
    assert [[conv.kernel_size for conv in layer] for layer in convs[1:]] == [[(3, 3), (1, 1)]]


@pytest.mark.parametrize("options, sizes", [({}, (64, 64)), ({"tag_width": 7, "rank": 3}, (7, 3))])
def test_biaffine_tag_width_and_rank(options, sizes):
    module = module_of(initialize(build_table_biaffine(**options)))
    assert (module.tag_embedding.embedding_dim, module.query.out_features // N_RELATIONS) == sizes


@pytest.mark.parametrize(
    "options, sizes",
    [({}, (200, 3, 8)), ({"hidden": 12, "n_layers": 1, "n_heads": 3}, (12, 1, 3))],
)
def test_sequence_hidden_layers_and_heads(options, sizes):
    module = module_of(initialize(build_table_sequence(**options)))
    assert (module.embed.out_features, len(module.tables), module.sequences[0].n_heads) == sizes


def test_sequence_states_its_maximum_of_words():
    assert build_table_sequence().attrs["max_words"] == 256
    assert build_table_sequence(max_words=80).attrs["max_words"] == 80


def test_bad_options_of_the_sequence_are_refused_when_the_module_is_built():
    with pytest.raises(ValueError, match="TableSequence: hidden is 10"):
        initialize(build_table_sequence(hidden=10))


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"hidden": []}])
def test_bad_options_of_the_cnn_are_refused_when_the_module_is_built(options):
    with pytest.raises(ValueError, match="TableCNN"):
        initialize(build_table_cnn(**options))


@pytest.mark.parametrize("dropout", [1.0, -0.1])
def test_bad_dropout_is_refused_when_the_module_is_built(make_head, dropout):
    with pytest.raises(ValueError, match=r"Table\w+: dropout is"):
        make_head(dropout=dropout)


def test_initialize_again_starts_anew(make_head):
    head = make_head()
    before = head.predict(make_inputs())
    head.initialize(Y=make_labels())
    assert not np.allclose(head.predict(make_inputs()).tags, before.tags)


def test_initialize_again_with_other_labels(make_head):
    head = make_head()
    head.initialize(Y=make_labels(N_TAGS + 4, N_RELATIONS + 2))
    logits = head.predict(make_inputs())
    assert (logits.tags.shape[1], logits.relations.shape[1]) == (N_TAGS + 4, N_RELATIONS + 2)


# Scoring


def test_scores_are_those_of_the_module(make_head):
    head, inputs = make_head(), make_inputs()
    module = module_of(head).eval()
    with torch.no_grad():
        tags, relations = module(torch.tensor(inputs.words), torch.tensor(LENGTHS))
    logits = head.predict(inputs._replace(known_tags=None))
    assert_same_logits(logits, TableLogits(tags.numpy(), relations.numpy(), LENGTHS))
    assert logits.windows is WINDOWS
    assert logits.tags.shape == (8, N_TAGS) and logits.relations.shape == (9, N_RELATIONS)


def test_cnn_in_training_without_dropout_scores_as_in_prediction():
    head = initialize(build_table_cnn(hidden=[8], dropout=0.0))
    logits, _ = head.begin_update(make_inputs())
    assert_same_logits(logits, head.predict(make_inputs()))


@pytest.mark.parametrize(
    "build, uses_known_tags",
    [(build_table_cnn, False), (build_table_biaffine, True), (build_table_sequence, False)],
)
def test_known_tags_reach_the_module(build, uses_known_tags):
    head, inputs = initialize(build(dropout=0.0)), make_inputs()
    for score in (
        lambda given: head.begin_update(given)[0].tags,
        lambda given: head.predict(given).tags,
    ):
        logits = [score(inputs._replace(known_tags=tags)) for tags in (inputs.known_tags, None)]
        assert np.allclose(*logits) != uses_known_tags


def test_gradients_equal_autograd(make_head):
    """Of the embeddings and of every parameter, for an arbitrary gradient of the logits."""
    head, inputs = make_head(dropout=0.0), make_inputs()
    logits, backprop = head.begin_update(inputs)
    random = np.random.default_rng(1)
    d_tags = random.standard_normal(logits.tags.shape).astype("float32")
    d_relations = random.standard_normal(logits.relations.shape).astype("float32")
    d_inputs = backprop(TableLogits(d_tags, d_relations, LENGTHS))
    module = module_of(head)
    actual = [d_inputs.words, *(parameter.grad.numpy().copy() for parameter in module.parameters())]

    module.zero_grad()
    words = torch.tensor(inputs.words, requires_grad=True)
    tags, relations = module(words, torch.tensor(LENGTHS), torch.tensor(inputs.known_tags))
    ((tags * torch.tensor(d_tags)).sum() + (relations * torch.tensor(d_relations)).sum()).backward()
    expected = [words.grad.numpy(), *(parameter.grad.numpy() for parameter in module.parameters())]
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_gradients_of_two_passes_add_up(make_head):
    head = make_head(dropout=0.0)
    weight = module_of(head).tagger.weight
    gradients = []
    for _ in range(2):
        logits, backprop = head.begin_update(make_inputs())
        backprop(logits)
        gradients.append(weight.grad.clone())
    torch.testing.assert_close(gradients[1], 2 * gradients[0])


def test_finish_update_changes_the_parameters_and_clears_the_gradients(make_head):
    head = make_head(dropout=0.0)
    before = {name: parameter.clone() for name, parameter in module_of(head).named_parameters()}
    logits, backprop = head.begin_update(make_inputs())
    backprop(logits)
    head.finish_update(Adam(0.01))
    for name, parameter in module_of(head).named_parameters():
        assert not torch.equal(parameter, before[name]), name
        assert parameter.grad is None, name


def test_finish_update_before_the_module_is_built(make_head):
    make_head(is_initialized=False).finish_update(Adam(0.01))


# Mixed precision


@pytest.fixture
def any_device_has_bfloat16(monkeypatch):
    def autocast(device, *, enabled):
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)

    monkeypatch.setattr(shim, "autocast", autocast)


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_mixed_precision_reaches_both_modes(make_head, any_device_has_bfloat16, mixed_precision):
    head, plain = (
        make_head(mixed_precision=mixed, dropout=0.0) for mixed in (mixed_precision, False)
    )
    for score in (
        lambda head: head.predict(make_inputs()),
        lambda head: head.begin_update(make_inputs())[0],
    ):
        logits, expected = score(head), score(plain)
        assert logits.tags.dtype == logits.relations.dtype == np.float32
        difference = np.abs(logits.relations - expected.relations).max()
        assert 1e-4 < difference < 2e-2 if mixed_precision else difference < 1e-6


def test_mixed_precision_keeps_weights_and_gradients_in_float32(make_head, any_device_has_bfloat16):
    head = make_head(mixed_precision=True, dropout=0.0)
    logits, backprop = head.begin_update(make_inputs())
    d_inputs = backprop(logits)
    head.finish_update(Adam(0.01))
    assert d_inputs.words.dtype == np.float32
    assert {parameter.dtype for parameter in module_of(head).parameters()} == {torch.float32}


# Dropout


def is_random(head):
    """Whether two passes of training differ."""
    first, second = (head.begin_update(make_inputs())[0] for _ in range(2))
    return not np.array_equal(first.tags, second.tags)


def test_dropout_of_the_training_block_reaches_torch(make_head):
    head = make_head()
    set_dropout_rate(head, 0.5)
    assert is_random(head)
    assert module_of(head).dropout == 0.5
    set_dropout_rate(head, 0.0)
    assert not is_random(head)


def test_dropout_argument_stands_against_the_training_block(make_head):
    head = make_head(dropout=0.5)
    set_dropout_rate(head, 0.0)
    assert is_random(head)
    assert module_of(head).dropout == 0.5


def test_dropout_argument_of_zero_stands_against_the_training_block(make_head):
    head = make_head(dropout=0.0)
    set_dropout_rate(head, 0.5)
    assert not is_random(head)


def test_prediction_drops_nothing(make_head):
    head = make_head(dropout=0.5)
    head.begin_update(make_inputs())
    assert_same_logits(head.predict(make_inputs()), head.predict(make_inputs()))


# Saving


def test_bytes_before_initialisation(make_head):
    head = make_head(is_initialized=False).from_bytes(make_head(is_initialized=False).to_bytes())
    assert module_of(head) is None
    initialize(head)
    assert head.predict(make_inputs()).tags.shape == (8, N_TAGS)


def test_bytes_after_initialisation(make_head):
    head = make_head()
    other = make_head(is_initialized=False).from_bytes(head.to_bytes())
    assert other.get_dim("n_tags") == N_TAGS
    assert_same_logits(other.predict(make_inputs()), head.predict(make_inputs()))


def test_disk(make_head, tmp_path):
    head = make_head()
    head.to_disk(tmp_path / "head")
    other = make_head(is_initialized=False).from_disk(tmp_path / "head")
    assert_same_logits(other.predict(make_inputs()), head.predict(make_inputs()))


def test_loaded_head_trains_on(make_head):
    head = make_head(is_initialized=False, dropout=0.0).from_bytes(
        make_head(dropout=0.0).to_bytes()
    )
    before = head.predict(make_inputs())
    logits, backprop = head.begin_update(make_inputs())
    backprop(logits)
    head.finish_update(Adam(0.01))
    assert not np.allclose(head.predict(make_inputs()).tags, before.tags)


@pytest.mark.parametrize("is_initialized", [True, False])
def test_copies(make_head, is_initialized):
    head = make_head(is_initialized=is_initialized)
    for other in (head.copy(), pickle.loads(pickle.dumps(head))):
        if is_initialized:
            assert_same_logits(other.predict(make_inputs()), head.predict(make_inputs()))
        else:
            assert module_of(other) is None


class Intruder:
    """Unpickling an instance creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "wrap", [lambda intruder: intruder, lambda intruder: {"tagger.bias": intruder}]
)
def test_saved_weights_cannot_run_code(make_head, tmp_path, wrap):
    state = BytesIO()
    torch.save(wrap(Intruder(tmp_path / "intruder")), state)
    head = make_head()
    message = srsly.msgpack_loads(head.to_bytes())
    message["shims"][0][0] = srsly.msgpack_dumps(
        {"config": head.shims[0].cfg, "state": state.getvalue()}
    )
    with pytest.raises(ValueError, match=r"an archive of torch\.save"):
        make_head(is_initialized=False).from_bytes(srsly.msgpack_dumps(message))
    assert not (tmp_path / "intruder").exists()


def test_saved_sizes_have_to_fit_the_weights(make_head):
    head = make_head()
    message = srsly.msgpack_loads(head.to_bytes())
    saved = srsly.msgpack_loads(message["shims"][0][0])
    saved["config"]["n_tags"] += 4
    message["shims"][0][0] = srsly.msgpack_dumps(saved)
    with pytest.raises(ValueError, match=r"has the shape .*; expected"):
        make_head(is_initialized=False).from_bytes(srsly.msgpack_dumps(message))
