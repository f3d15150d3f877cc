"""The partition filter: a recurrent cell that divides its memory between the two tasks.

Its steps follow each other, so they are few and small: everything that no step needs from the step
before is computed for all words at once, in the backward pass as well.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..dropout import drop
from ..places import Places
from .products import add_product, multiply

N_GATES = 4  # the relation and the entity gate of the old state, then of the candidate


class WordFeatures(NamedTuple):
    """The features of the words of a batch, each float (words, hidden).

    relation (Tensor): For relations.
    entity (Tensor): For entities.
    shared (Tensor): For both.
    """

    relation: Tensor
    entity: Tensor
    shared: Tensor


class PartitionFilter(nn.Module):
    """The partition filter encoder.

    With the word embedding x_t, the step of word t is

        (a, a_ro, a_eo, a_rn, a_en) = W_x x_t + b_x + W_h h_(t-1) + b_h
        v = tanh(a)                                the candidate
        r = cumax(a_r), e = 1 - cumax(a_e)         relation and entity gate, one of each for the
                                                   old state c_(t-1) (o) and the candidate (n)
        relation = r_o c_(t-1) + r_n v
        entity   = e_o c_(t-1) + e_n v
        shared   = e_o r_o c_(t-1) + e_n r_n v
        c_t = W_t [relation; entity; shared] + b_t,    h_t = tanh(c_t)

    Here cumax(a) are the cumulative sums of softmax(a), and h_0 = c_0 = 0. The features of a word
    are the hyperbolic tangents of `relation`, `entity` and `shared`. The paper writes the gates as
    partitions (e - er, r - er and er). The entity partition and the shared one add up to e, the
    relation partition and the shared one to r, so this is the same.

    width (int): Width of a word embedding.
    hidden (int): Width of the state and of each feature.
    dropconnect (float): Share of the elements of W_h that training drops, the same ones for all
        words of a batch.
    Source: Yan et al. (2021), section 3.2.
    """

    def __init__(self, width: int, hidden: int, *, dropconnect: float):
        super().__init__()
        self.dropconnect = dropconnect
        self.input = nn.Linear(width, (1 + N_GATES) * hidden)
        self.recurrence = nn.Linear(hidden, (1 + N_GATES) * hidden)
        self.transformation = nn.Linear(3 * hidden, hidden)

    def forward(self, words: Tensor, places: Places, precision: torch.dtype) -> WordFeatures:
        """Compute the features of the words of a batch.

        words (Tensor): Word embeddings, float (words, width).
        places (Places): Their order.
        precision (dtype): The type in which products are computed.
        RETURNS (WordFeatures): The features, in the order of the words.
        """
        recurrence = self.recurrence.weight
        if self.training:
            recurrence = drop(recurrence, self.dropconnect)
        bias = self.input.bias + self.recurrence.bias
        ordered = words.index_select(0, places.order)
        features: Tensor = Scan.apply(
            add_product(bias, ordered, self.input.weight.to(precision).t()),
            recurrence.to(precision),
            self.transformation.weight.to(precision),
            self.transformation.bias,
            places.n_running,
        )
        by_word = features.tanh().index_select(0, places.place)
        return WordFeatures(*by_word.chunk(3, dim=1))


class Scan(torch.autograd.Function):
    """The steps of the cell; see `PartitionFilter`.

    The backward pass is written by hand. Autograd would add to the gradient of the weights at each
    step; here each of them is one product for all words.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        recurrence: Tensor,
        transformation: Tensor,
        bias: Tensor,
        n_running: Sequence[int],
    ) -> Tensor:
        """Take the steps.

        inputs (Tensor): W_x x + b_x + b_h of each word in the order of the steps, float
            (words, 5 * hidden).
        recurrence (Tensor): W_h, float (5 * hidden, hidden), of the type of the products.
        transformation (Tensor): W_t, float (hidden, 3 * hidden), likewise.
        bias (Tensor): b_t, float (hidden,).
        n_running (Sequence[int]): Number of words of each step.
        RETURNS (Tensor): `relation`, `entity` and `shared` of each word, in the order of the
            steps, float (words, 3 * hidden).
        """
        # A product by a contiguous matrix takes half the time if there are few rows.
        by_hidden, by_features = recurrence.t().contiguous(), transformation.t().contiguous()
        hidden = len(transformation)
        features = inputs.new_empty(len(inputs), 3, hidden)
        cells = inputs.new_empty(len(inputs), hidden)
        candidates, shares = torch.empty_like(cells), inputs.new_empty(len(inputs), N_GATES, hidden)
        cell = inputs.new_zeros(n_running[0], hidden)
        for step in _step_slices(n_running):
            old = cell[: step.stop - step.start]
            gates = inputs[step]
            if step.start:
                gates = add_product(gates, old.tanh(), by_hidden)
            candidate = torch.tanh(gates[:, :hidden], out=candidates[step])
            share = gates[:, hidden:].unflatten(1, (N_GATES, hidden)).softmax(dim=2)
            shares[step] = share
            values = torch.stack([old, candidate], dim=1)
            new = torch.sum(_make_gates(share) * values[:, :, None], dim=1, out=features[step])
            cell = add_product(bias, new.flatten(1), by_features)
            cells[step] = cell
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(features, cells, candidates, shares, recurrence, transformation)
            ctx.n_running = n_running
        return features.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_features: Tensor) -> tuple[Tensor | None, ...]:
        """Go back through the steps. What is not sequential is computed before and after them."""
        features, cells, candidates, shares, recurrence, transformation = ctx.saved_tensors
        steps = _step_slices(ctx.n_running)
        old = _previous(cells, steps)
        values = torch.stack([old, candidates], dim=1)  # (words, 2, hidden)
        gates = _make_gates(shares)  # (words, 2, 3, hidden)
        from_own, from_shared = _make_factors(gates, values)
        d_tanh_old, d_tanh_candidate = 1.0 - old.tanh().square(), 1.0 - candidates.square()

        hidden = candidates.shape[1]
        d_inputs = candidates.new_empty(len(cells), (1 + N_GATES) * hidden)
        d_cells = torch.zeros_like(cells)
        for step, before in zip(reversed(steps), [*reversed(steps[:-1]), None], strict=True):
            d_new = add_product(d_features[step], d_cells[step], transformation)
            d_new = d_new.view(-1, 1, 3, hidden)
            d_values = (d_new * gates[step]).sum(dim=2)
            d_gates = d_new[:, :, :2] * from_own[step]
            d_gates = torch.addcmul(d_gates, d_new[:, :, 2:], from_shared[step]).flatten(1, 2)
            # The gradient of a cumulative sum is a sum from the right. It differs by a constant
            # from the difference here, and a constant has no effect on a softmax.
            d_shares = d_gates - d_gates.cumsum(dim=2)
            d_step = d_inputs[step]
            torch.mul(d_values[:, 1], d_tanh_candidate[step], out=d_step[:, :hidden])
            share = shares[step]
            d_step[:, hidden:] = torch._softmax_backward_data(
                d_shares, share, 2, share.dtype
            ).flatten(1)
            if before is not None:
                d_hidden = multiply(d_step, recurrence)
                running = slice(before.start, before.start + len(d_step))
                torch.addcmul(d_values[:, 0], d_hidden, d_tanh_old[step], out=d_cells[running])

        precision, n_first = recurrence.dtype, ctx.n_running[0]
        d_recurrence = d_inputs[n_first:].t().to(precision) @ old[n_first:].tanh().to(precision)
        d_transformation = d_cells.t().to(precision) @ features.flatten(1).to(precision)
        return d_inputs, d_recurrence, d_transformation, d_cells.sum(dim=0), None


def _step_slices(n_running: Sequence[int]) -> list[slice]:
    """Return the words of each step."""
    bounds = accumulate(n_running, initial=0)
    return [slice(first, stop) for first, stop in pairwise(bounds)]


def _previous(rows: Tensor, steps: Sequence[slice]) -> Tensor:
    """Return the rows of the word before each word, and zeros for the first words."""
    parts = [torch.zeros_like(rows[steps[0]])]
    for before, step in pairwise(steps):
        parts.append(rows[before.start : before.start + step.stop - step.start])
    return torch.cat(parts)


def _make_gates(shares: Tensor) -> Tensor:
    """Compute r, e and e r for the old state and for the candidate.

    shares (Tensor): The softmax of each gate, float (words, 4, hidden).
    RETURNS (Tensor): float (words, 2, 3, hidden).
    """
    sums = shares.cumsum(dim=2).unflatten(1, (2, 2))
    relation, entity = sums[:, :, 0], 1.0 - sums[:, :, 1]
    return torch.stack([relation, entity, relation * entity], dim=2)


def _make_factors(gates: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the derivatives of the features with respect to the cumulative sums of the gates.

    gates (Tensor): r, e and e r, float (words, 2, 3, hidden).
    values (Tensor): The old state and the candidate, float (words, 2, hidden).
    RETURNS (tuple[Tensor, Tensor]): The derivative of the relation feature with respect to the
        first sum and of the entity feature with respect to the second; and the derivatives of the
        shared feature. Each float (words, 2, 2, hidden).
    """
    signs = gates.new_tensor([1.0, -1.0])[:, None]  # e = 1 - cumax(a_e)
    from_own = values[:, :, None] * signs
    return from_own, from_own * gates[:, :, :2].flip(2)
