import functools
import math

import numpy as np
import pytest
import spacy
import torch
from spacy.training import Example
from thinc.api import (
    SGD,
    Config,
    LayerNorm,
    Linear,
    Maxout,
    Optimizer,
    PyTorchWrapper,
    chain,
    fix_random_seed,
    use_ops,
)

from spacy_tabcnn.runtime.optimizer import TensorOptimizer, for_head
from spacy_tabcnn.training.optimizer import AVERAGE_EVERY, AdamW, HeadOptimizer
from spacy_tabcnn.training.schedules import warmup_linear

CONFIG = """
[optimizer]
@optimizers = "spacy-tabcnn.AdamW.v1"
weight_decay = 0.02
grad_clip = 2.0

[optimizer.learn_rate]
@schedules = "spacy-tabcnn.warmup_linear.v1"
rate = 0.00005
total_steps = 10

[optimizer.head_learn_rate]
@schedules = "spacy-tabcnn.warmup_linear.v1"
rate = 0.001
total_steps = 10
"""


@pytest.fixture(autouse=True)
def seed():
    fix_random_seed(0)


def make_module():
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.LayerNorm(6), torch.nn.Linear(6, 2))


def make_batches(n_steps):
    rng = np.random.default_rng(0)
    # Targets far from the outputs, so that the gradient is clipped.
    return [
        (rng.normal(size=(8, 4)).astype("float32"), 10 * rng.normal(size=(8, 2)).astype("float32"))
        for _ in range(n_steps)
    ]


def backprop(model, X, Y):
    """Set the gradient of half the squared error."""
    scores, backprop_scores = model.begin_update(X)
    backprop_scores(scores - Y)


def set_gradient(model, **gradients):
    for name, gradient in gradients.items():
        model.set_grad(name, np.asarray(gradient, dtype="float32"))


def torch_adamw(named_parameters, *, lr, weight_decay):
    """torch's own optimizer with the two usual groups."""
    decaying = [param for name, param in named_parameters if name in ("0.weight", "2.weight")]
    spared = [param for name, param in named_parameters if name not in ("0.weight", "2.weight")]
    assert (len(decaying), len(spared)) == (2, 4)
    return torch.optim.AdamW(
        [
            {"params": decaying, "weight_decay": weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ],
        lr=lr,
    )


def test_wrapped_torch_module_is_trained_as_by_torch():
    ours, theirs = make_module(), make_module()
    theirs.load_state_dict(ours.state_dict())
    model = PyTorchWrapper(ours)
    optimizer = AdamW(0.05, weight_decay=0.1, grad_clip=1.0)
    reference = torch_adamw(list(theirs.named_parameters()), lr=0.05, weight_decay=0.1)
    for X, Y in make_batches(6):
        backprop(model, X, Y)
        model.finish_update(optimizer)
        optimizer.step_schedules()
        reference.zero_grad()
        (0.5 * (theirs(torch.from_numpy(X)) - torch.from_numpy(Y)).square().sum()).backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        reference.step()
        assert norm > 1.0
    for name, param in ours.state_dict().items():
        assert torch.allclose(param, theirs.state_dict()[name], atol=1e-6), name


def test_thinc_layer_is_trained_as_by_torch():
    model = Linear(2, 4).initialize()
    weights = torch.nn.Parameter(torch.from_numpy(model.get_param("W").copy()))
    bias = torch.nn.Parameter(torch.zeros(2))
    optimizer = AdamW(0.05, weight_decay=0.1)
    reference = torch.optim.AdamW(
        [{"params": [weights], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}],
        lr=0.05,
    )
    for X, Y in make_batches(6):
        backprop(model, X, Y)
        model.finish_update(optimizer)
        optimizer.step_schedules()
        reference.zero_grad()
        scores = torch.from_numpy(X) @ weights.T + bias
        (0.5 * (scores - torch.from_numpy(Y)).square().sum()).backward()
        torch.nn.utils.clip_grad_norm_([weights, bias], 1.0)
        reference.step()
    assert np.allclose(model.get_param("W"), weights.detach().numpy(), atol=1e-6)
    assert np.allclose(model.get_param("b"), bias.detach().numpy(), atol=1e-6)


def test_arrays_of_the_model_change_in_place():
    thinc_layer, torch_layer = Linear(2, 4).initialize(), torch.nn.Linear(4, 2)
    arrays = thinc_layer.get_param("W"), torch_layer.weight.detach().numpy()
    before = [array.copy() for array in arrays]
    optimizer = AdamW(0.05)
    for model in (thinc_layer, PyTorchWrapper(torch_layer)):
        backprop(model, *make_batches(1)[0])
        model.finish_update(optimizer)
    optimizer.step_schedules()
    assert thinc_layer.get_param("W") is arrays[0]
    assert not np.isclose(arrays[0], before[0]).any()
    assert not np.isclose(arrays[1], before[1]).any()


def test_only_weight_matrices_decay():
    model = chain(Maxout(nO=3, nI=4, nP=2), LayerNorm(nI=3), PyTorchWrapper(torch.nn.Linear(3, 2)))
    model.initialize()
    maxout, norm, wrapper = model.layers
    linear = wrapper.shims[0]._model
    arrays = {
        "W": maxout.get_param("W"),
        "weight": linear.weight.detach().numpy(),
        "b": maxout.get_param("b"),
        "G": norm.get_param("G"),
        "beta": norm.get_param("b"),
        "bias": linear.bias.detach().numpy(),
    }
    for array in arrays.values():
        array.fill(1.0)
    X = np.ones((5, 4), dtype="float32")
    scores, backprop_scores = model.begin_update(X)
    # With a gradient of zero, the decay is all that remains of a step.
    backprop_scores(np.zeros_like(scores))
    optimizer = AdamW(0.1, weight_decay=0.5)
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert {name: round(float(array.max()), 4) for name, array in arrays.items()} == {
        "W": 0.95, "weight": 0.95, "b": 1.0, "G": 1.0, "beta": 1.0, "bias": 1.0,
    }  # fmt: skip


def test_gradient_is_clipped_over_all_models_together():
    # Adam hides the gradient's size behind its own norm, unless eps dwarfs that.
    first, second = Linear(1, 1).initialize(), Linear(1, 1).initialize()
    first.get_param("W").fill(0.0)
    second.get_param("W").fill(0.0)
    optimizer = AdamW(1.0, weight_decay=0.0, grad_clip=1.0, eps=1e6)
    set_gradient(first, W=[[3.0]])
    set_gradient(second, W=[[4.0]])
    first.finish_update(optimizer)
    second.finish_update(optimizer.for_head)
    optimizer.step_schedules()
    moved = [-1e6 * model.get_param("W").item() for model in (first, second)]
    assert moved == pytest.approx([0.6, 0.8], rel=1e-3)


@pytest.mark.parametrize(("grad_clip", "expected"), [(0.0, 5.0), (2.0, 2.0), (10.0, 5.0)])
def test_grad_clip_is_the_largest_norm(grad_clip, expected):
    model = Linear(1, 1).initialize()
    model.get_param("W").fill(0.0)
    optimizer = AdamW(1.0, weight_decay=0.0, grad_clip=grad_clip, eps=1e6)
    set_gradient(model, W=[[5.0]])
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert -1e6 * model.get_param("W").item() == pytest.approx(expected, rel=1e-3)


def first_step(finish_update, optimizer):
    """The distance that a weight moves in the first step: the learning rate, for any gradient."""
    model = Linear(1, 1).initialize()
    before = model.get_param("W").item()
    set_gradient(model, W=[[0.5]])
    finish_update(model)
    optimizer.step_schedules()
    return before - model.get_param("W").item()


def test_head_has_its_own_learning_rate():
    optimizer = AdamW(0.001, head_learn_rate=0.1, weight_decay=0.0)
    assert first_step(lambda model: model.finish_update(optimizer), optimizer) == pytest.approx(
        0.001, rel=1e-3
    )
    assert first_step(
        lambda model: model.finish_update(optimizer.for_head), optimizer
    ) == pytest.approx(0.1, rel=1e-3)


def test_head_follows_the_learning_rate_by_default():
    optimizer = AdamW(0.001, weight_decay=0.0)
    optimizer.learn_rate = 0.2
    assert optimizer.head_learn_rate == 0.2
    assert first_step(
        lambda model: model.finish_update(optimizer.for_head), optimizer
    ) == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("name", ["__call__", "for_head"])
def test_lr_scale_scales_the_learning_rate(name):
    optimizer = AdamW(0.1, weight_decay=0.0)
    collect = getattr(optimizer, name)

    def finish_update(model):
        model.finish_update(
            lambda key, weights, gradient: collect(key, weights, gradient, lr_scale=0.5)
        )

    assert first_step(finish_update, optimizer) == pytest.approx(0.05, rel=1e-3)


def test_schedules_advance_with_each_step():
    optimizer = AdamW(
        warmup_linear(0.1, warmup=0.5, total_steps=4),
        head_learn_rate=warmup_linear(0.2, warmup=0.0, total_steps=4),
        weight_decay=0.0,
    )
    rates = []
    for _ in range(5):
        rates.append((optimizer.learn_rate, optimizer.head_learn_rate))
        moved = first_step(lambda model: model.finish_update(optimizer), optimizer)
        assert moved == pytest.approx(rates[-1][0], abs=1e-6)
    assert np.allclose(rates, [(0.05, 0.2), (0.1, 0.15), (0.1, 0.1), (0.05, 0.05), (0.0, 0.0)])


@pytest.mark.parametrize(
    ("name", "value"), [("beta1", 0.5), ("beta2", 0.5), ("eps", 0.1), ("weight_decay", 0.5)]
)
def test_hyper_parameter_reaches_the_update(name, value):
    weights = []
    for options in ({}, {name: value}):
        model = Linear(1, 1).initialize()
        model.get_param("W").fill(1.0)
        optimizer = AdamW(0.1, **options)
        for gradient in (0.5, -0.1):
            set_gradient(model, W=[[gradient]])
            model.finish_update(optimizer)
            optimizer.step_schedules()
        weights.append(model.get_param("W").item())
    assert abs(weights[0] - weights[1]) > 1e-3


def test_gradients_are_zero_after_collection():
    thinc_layer, torch_layer = Linear(2, 4).initialize(), torch.nn.Linear(4, 2)
    optimizer = AdamW(0.1)
    for model in (thinc_layer, PyTorchWrapper(torch_layer)):
        backprop(model, *make_batches(1)[0])
        model.finish_update(optimizer)
    assert not thinc_layer.get_grad("W").any()
    assert not torch_layer.weight.grad.any()


def test_no_update_is_lost_without_step_schedules():
    weights = []
    for stepped in (True, False):
        model = Linear(1, 1).initialize()
        model.get_param("W").fill(1.0)
        optimizer = AdamW(0.1)
        for gradient in (0.5, -0.1, 0.2):
            set_gradient(model, W=[[gradient]])
            model.finish_update(optimizer)
            if stepped:
                optimizer.step_schedules()
        optimizer.step_schedules()
        weights.append(model.get_param("W").item())
    assert weights[0] == weights[1]


def test_parameter_without_gradient_is_left_alone():
    trained, frozen = Linear(2, 4).initialize(), Linear(2, 4).initialize()
    optimizer = AdamW(0.1)
    for model in (trained, frozen):
        backprop(model, *make_batches(1)[0])
        model.finish_update(optimizer)
    optimizer.step_schedules()
    before = frozen.get_param("W").copy()
    backprop(trained, *make_batches(1)[0])
    trained.finish_update(optimizer)
    optimizer.step_schedules()
    assert np.array_equal(frozen.get_param("W"), before)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_step_without_finite_gradient_is_left_out(bad, grad_clip):
    model, other = Linear(1, 1).initialize(), Linear(1, 1).initialize()
    optimizer = AdamW(0.1, grad_clip=grad_clip)
    before = other.get_param("W").copy()
    set_gradient(model, W=[[bad]])
    set_gradient(other, W=[[1.0]])
    model.finish_update(optimizer)
    other.finish_update(optimizer)
    with pytest.warns(UserWarning, match="left out a step"):
        optimizer.step_schedules()
    assert np.array_equal(other.get_param("W"), before)
    # The second time is counted in silence, and the next good gradient counts in full.
    set_gradient(model, W=[[bad]])
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert optimizer.n_skipped == 2
    set_gradient(model, W=[[1.0]])
    before = model.get_param("W").copy()
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert before - model.get_param("W") == pytest.approx(0.1, rel=0.05)


def test_a_device_leaves_out_a_step_by_itself(monkeypatch):
    """The way of a GPU, for which the host does not wait: it hears of the step at the next one."""
    monkeypatch.setattr("spacy_tabcnn.training.optimizer.decides_on_host", lambda device: False)
    model = Linear(1, 1).initialize()
    optimizer = AdamW(0.1, grad_clip=1.0)
    before = model.get_param("W").copy()
    set_gradient(model, W=[[math.nan]])
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert np.array_equal(model.get_param("W"), before)
    set_gradient(model, W=[[1.0]])
    model.finish_update(optimizer)
    with pytest.warns(UserWarning, match="left out a step"):
        optimizer.step_schedules()
    assert optimizer.n_skipped == 1
    assert before - model.get_param("W") == pytest.approx(0.1, rel=0.05)


def test_moments_outlive_a_replaced_array():
    weights = []
    for replaced in (False, True):
        model = Linear(1, 1).initialize()
        model.get_param("W").fill(1.0)
        optimizer = AdamW(0.1)
        for gradient in (0.5, -0.1):
            set_gradient(model, W=[[gradient]])
            model.finish_update(optimizer)
            optimizer.step_schedules()
            if replaced:
                model.from_bytes(model.to_bytes())
        weights.append(model.get_param("W").item())
    assert weights[0] == weights[1]


def test_resized_parameter_starts_afresh():
    model = Linear(1, 1).initialize()
    optimizer = AdamW(0.1, weight_decay=0.0)
    set_gradient(model, W=[[1.0]])
    model.finish_update(optimizer)
    optimizer.step_schedules()
    model.set_param("W", np.ones((2, 1), dtype="float32"))
    set_gradient(model, W=[[0.5], [-0.5]])
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert model.get_param("W").ravel() == pytest.approx([0.9, 1.1], rel=1e-3)


@pytest.fixture(params=["all", "head"])
def make_optimizer(request):
    """Make an optimiser, and the object that takes gradients: itself, or its part for heads."""

    def make():
        optimizer = AdamW(0.1)
        return optimizer, optimizer.for_head if request.param == "head" else optimizer

    return make


def test_tensors_count_the_same(make_optimizer):
    weights = np.ones((2, 3), dtype="float32")
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    (optimizer, takes_arrays), (other, takes_tensors) = make_optimizer(), make_optimizer()
    for sign in (1.0, -0.5):
        gradient = np.full((2, 3), sign, dtype="float32")
        takes_arrays((1, "W"), weights, gradient)
        assert not gradient.any()
        takes_tensors.collect((1, "W"), parameter, torch.full((2, 3), sign), bool)
        optimizer.step_schedules()
        other.step_schedules()
    assert np.array_equal(weights, parameter.detach().numpy())
    assert not np.allclose(weights, 1.0)


def test_takes_tensors(make_optimizer):
    assert isinstance(make_optimizer()[1], TensorOptimizer)


def test_heads_get_their_own_optimizer():
    optimizer, other = AdamW(0.1), SGD(0.1)
    assert isinstance(for_head(optimizer), HeadOptimizer)
    assert for_head(other) is other


def test_a_step_is_announced_once(make_optimizer):
    """Whatever was computed from the weights is forgotten then."""
    steps = []
    optimizer, takes_tensors = make_optimizer()
    announce = functools.partial(steps.append, "step")
    for name in ("weight", "bias"):
        parameter = torch.nn.Parameter(torch.ones(3))
        takes_tensors.collect((1, name), parameter, torch.ones(3), announce)
    assert not steps
    optimizer.step_schedules()
    assert steps == ["step"]


def test_parameter_that_is_not_contiguous_is_updated(make_optimizer):
    parameter = torch.nn.Parameter(torch.ones(3, 2).t())
    optimizer, takes_tensors = make_optimizer()
    takes_tensors.collect((1, "W"), parameter, torch.ones(3, 2).t(), bool)
    optimizer.step_schedules()
    assert torch.all(parameter < 1.0)


def test_averages_follow_the_weights():
    model = Linear(1, 1).initialize()
    optimizer = AdamW(0.1, use_averages=True)
    expected = []
    for step in range(5 * AVERAGE_EVERY):
        set_gradient(model, W=[[math.cos(step)]])
        model.finish_update(optimizer)
        optimizer.step_schedules()
        if step % AVERAGE_EVERY == 0:
            weight, n_before = model.get_param("W").item(), len(expected)
            # As thinc's own optimizer averages: over about the last ninth of the updates.
            share = (1 + n_before) / (10 + n_before)
            expected.append(share * (expected[-1] if expected else weight) + (1 - share) * weight)
    assert optimizer.averages[model.id, "W"].item() == pytest.approx(expected[-1], rel=1e-5)
    assert expected[-1] != pytest.approx(model.get_param("W").item(), rel=1e-2)


def test_averages_take_the_place_of_the_weights_for_a_while():
    thinc_layer, torch_layer = Linear(2, 4).initialize(), PyTorchWrapper(torch.nn.Linear(4, 2))
    models = (thinc_layer, torch_layer)
    optimizer = AdamW(0.1, use_averages=True)
    for X, Y in make_batches(3):
        for model in models:
            backprop(model, X, Y)
            model.finish_update(optimizer)
        optimizer.step_schedules()
    X = make_batches(1)[0][0]
    for model in models:
        latest = model.predict(X).copy()
        with model.use_params(optimizer.averages):
            averaged = model.predict(X).copy()
        assert not np.allclose(latest, averaged)
        assert np.array_equal(latest, model.predict(X))


def test_array_that_is_not_contiguous_is_replaced():
    model = Linear(2, 3).initialize()
    wider = np.zeros((2, 5), dtype="float32")
    model.set_param("W", wider[:, :3])
    gradient = np.array([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]], dtype="float32")
    optimizer = AdamW(0.1, weight_decay=0.0)
    set_gradient(model, W=gradient.copy())
    model.finish_update(optimizer)
    optimizer.step_schedules()
    assert np.allclose(model.get_param("W"), -0.1 * np.sign(gradient), rtol=1e-3)
    assert not wider[:, 3:].any()


def test_empty_and_scalar_parameters_pass():
    optimizer = AdamW(0.1, weight_decay=0.0)
    empty = np.zeros((0, 3), dtype="float32")
    assert optimizer((1, "W"), empty, empty.copy())[0] is empty
    scalar = np.ones((), dtype="float32")
    optimizer((2, "scale"), scalar, np.ones((), dtype="float32"))
    optimizer.step_schedules()
    assert scalar == pytest.approx(0.9, rel=1e-3)


def test_same_seed_gives_the_same_weights():
    weights = []
    for _ in range(2):
        fix_random_seed(1)
        model = PyTorchWrapper(make_module())
        optimizer = AdamW(0.05)
        for X, Y in make_batches(4):
            backprop(model, X, Y)
            model.finish_update(optimizer)
            optimizer.step_schedules()
        weights.append(model.predict(make_batches(1)[0][0]))
    assert np.array_equal(*weights)


def test_config_resolves():
    optimizer = spacy.registry.resolve(Config().from_str(CONFIG))["optimizer"]
    assert isinstance(optimizer, AdamW) and isinstance(optimizer, Optimizer)
    assert (optimizer.learn_rate, optimizer.head_learn_rate) == pytest.approx((0.000025, 0.0005))
    assert (optimizer.L2, optimizer.grad_clip) == (0.02, 2.0)
    assert optimizer.averages is None


def test_trains_a_spacy_pipeline():
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat").add_label("GOOD")
    nlp.get_pipe("textcat").add_label("BAD")
    texts = {"a fine day": {"GOOD": 1.0, "BAD": 0.0}, "a dull day": {"GOOD": 0.0, "BAD": 1.0}}
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text, cats in texts.items()
    ]
    nlp.initialize(lambda: examples)
    optimizer = AdamW(0.01)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
        optimizer.step_schedules()
    assert nlp.evaluate(examples)["cats_score"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learn_rate": -0.1}, "learn_rate is -0.1"),
        ({"learn_rate": 0.1, "head_learn_rate": -0.2}, "head_learn_rate is -0.2"),
        ({"learn_rate": 0.1, "grad_clip": -1.0}, "grad_clip is -1.0"),
        ({"learn_rate": 0.1, "weight_decay": math.nan}, "weight_decay is nan"),
        ({"learn_rate": 0.1, "beta1": 1.0}, "Invalid beta parameter"),
        ({"learn_rate": 0.1, "eps": -1.0}, "Invalid epsilon"),
    ],
)
def test_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdamW(**arguments)


def test_one_schedule_for_both_rates_is_refused():
    schedule = warmup_linear(0.1, total_steps=10)
    with pytest.raises(ValueError, match="the same schedule"):
        AdamW(schedule, head_learn_rate=schedule)


def test_metal_is_refused():
    with use_ops("mps"), pytest.raises(ValueError, match="Metal"):
        AdamW(0.1)
