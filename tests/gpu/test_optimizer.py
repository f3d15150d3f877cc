"""The optimiser on the device: the steps of the CPU, and nothing for which the host waits."""

import math

import numpy as np
import pytest
import torch
from thinc.api import Linear, to_numpy

from spacy_tabcnn.training.optimizer import AdamW


def update(model, gradient):
    model.set_grad("W", model.ops.asarray(np.full((2, 3), gradient, dtype="float32")))
    model.set_grad("b", model.ops.asarray(np.full(2, gradient, dtype="float32")))


def train(gradients, **options):
    """The weights, and their average, after some steps from zero."""
    model = Linear(2, 3).initialize()
    model.get_param("W").fill(0.5)
    parameter = torch.nn.Parameter(torch.full((2, 2), 0.5))
    if not isinstance(model.get_param("W"), np.ndarray):
        parameter = torch.nn.Parameter(parameter.detach().cuda())
    optimizer = AdamW(0.1, use_averages=True, **options)
    for gradient in gradients:
        update(model, gradient)
        model.finish_update(optimizer)
        tensor = torch.full_like(parameter, gradient).detach()
        optimizer.for_head.collect((999, "weight"), parameter, tensor, lambda: None)
        optimizer.step_schedules()
    with model.use_params(optimizer.averages):
        average = to_numpy(model.get_param("W")).copy()
    weights = [to_numpy(model.get_param("W")), to_numpy(model.get_param("b")), average]
    return [*weights, parameter.detach().cpu().numpy()], optimizer


@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
def test_steps(grad_clip, device):
    gradients = [0.5, -0.2, 3.0, 0.1]
    expected, _ = train(gradients, grad_clip=grad_clip, head_learn_rate=0.01)
    with device.use():
        found, _ = train(gradients, grad_clip=grad_clip, head_learn_rate=0.01)
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.filterwarnings("ignore:.*left out a step")
def test_a_step_without_finite_gradient_is_left_out(bad, device):
    with device.use():
        (found, *_), optimizer = train([0.5, bad, -0.2])
        (expected, *_), _ = train([0.5, -0.2])
        assert optimizer.n_skipped == 1
    np.testing.assert_allclose(found, expected, rtol=1e-4)
