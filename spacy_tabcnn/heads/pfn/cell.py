"""The partition filter: a recurrent cell that divides its memory between the two tasks.

Its steps follow each other, so they are few and small: everything that no step needs from the step
before is computed for all words at once, in the backward pass as well.
"""

from collections.abc import Sequence
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
        values = inputs.new_empty(len(inputs), 2, hidden)  # the old state and the candidate
        shares = inputs.new_empty(len(inputs), N_GATES, hidden)
        cell = inputs.new_zeros(n_running[0], hidden)
        arrays = (inputs, features, values, shares)
        # Views made at once: to cut a tensor at each step takes as long as to multiply it.
        parts = [array.split(n_running) for array in arrays]
        for number, (gates, new, value, share) in enumerate(zip(*parts, strict=True)):
            old = cell[: len(gates)]
            if number:
                gates = add_product(gates, old.tanh(), by_hidden)
            own, of_gates = gates.split([hidden, N_GATES * hidden], dim=1)
            value[:, 0] = old
            torch.tanh(own, out=value[:, 1])
            torch.softmax(of_gates.unflatten(1, (N_GATES, hidden)), dim=2, out=share)
            torch.sum(_make_gates(share) * value[:, :, None], dim=1, out=new)
            cell = add_product(bias, new.flatten(1), by_features)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(features, values, shares, recurrence, transformation)
            ctx.n_running = n_running
        return features.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_features: Tensor) -> tuple[Tensor | None, ...]:
        """Go back through the steps. What is not sequential is computed before and after them."""
        features, values, shares, recurrence, transformation = ctx.saved_tensors
        n_running, n_first = ctx.n_running, ctx.n_running[0]
        old, candidates = values.unbind(dim=1)
        gates = _make_gates(shares)  # (words, 2, 3, hidden)
        old_states, hidden = old.tanh(), old.shape[1]
        d_inputs = old.new_empty(len(old), (1 + N_GATES) * hidden)
        d_cells = torch.zeros_like(old)
        arrays = [d_features, gates, shares, d_inputs, d_cells, *_make_factors(gates, values)]
        arrays += [1.0 - old_states.square(), 1.0 - candidates.square()]
        steps = [*zip(*(array.split(n_running) for array in arrays), strict=True)]
        for number, step in reversed([*enumerate(steps)]):
            d_new, gate, share, d_step, d_cell, from_own, from_shared, d_tanh_old, d_tanh = step
            d_new = add_product(d_new, d_cell, transformation).view(-1, 1, 3, hidden)
            d_old, d_candidate = (d_new * gate).sum(dim=2).unbind(dim=1)
            d_own, d_shared = d_new.split([2, 1], dim=2)
            d_gates = torch.addcmul(d_own * from_own, d_shared, from_shared).flatten(1, 2)
            # The gradient of a cumulative sum is a sum from the right. It differs by a constant
            # from the difference here, and a constant has no effect on a softmax.
            d_shares = torch._softmax_backward_data(
                d_gates - d_gates.cumsum(dim=2), share, 2, share.dtype
            )
            torch.cat([d_candidate * d_tanh, d_shares.flatten(1)], dim=1, out=d_step)
            if number:
                d_state = multiply(d_step, recurrence)
                d_before = steps[number - 1][4][: len(d_step)]
                torch.addcmul(d_old, d_state, d_tanh_old, out=d_before)

        precision = recurrence.dtype
        d_later = d_inputs[n_first:].t().to(precision)
        d_recurrence = d_later @ old_states[n_first:].to(precision)
        d_transformation = d_cells.t().to(precision) @ features.flatten(1).to(precision)
        return d_inputs, d_recurrence, d_transformation, d_cells.sum(dim=0), None


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
