"""AdamW as in the paper: two learning rates, global clipping, decay of weight matrices only."""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from thinc.api import MPSOps, Optimizer, get_current_ops, torch2xp
from thinc.optimizers import KeyT
from thinc.types import FloatsXd, Generator
from thinc.util import get_array_module
from torch import Tensor

from ..pipeline.divergence import DivergenceError

NAME = "spacy-tabcnn.AdamW.v1"
# Last parts of the names of thinc's and torch's biases. The bias of a Maxout layer has two
# dimensions.
BIAS_NAMES = ("b", "bias")
CLIP_EPS = 1e-6  # as in `torch.nn.utils.clip_grad_norm_`
# Steps from one update of the averages to the next. They average over hundreds of steps, so more
# frequent updates would change nothing.
AVERAGE_EVERY = 8
# Steps in a row that may be left out. A step that is left out changes no weight: if the next ones
# fail too, the weights are the cause, not a batch.
MAX_SKIPPED_IN_A_ROW = 2
# Kinds of arrays in the state of an optimiser, besides "average".
MOMENTS = ("exp_avg", "exp_avg_sq")
AVERAGE = "average"


class OptimizerState(NamedTuple):
    """Everything that an optimiser has collected in its steps.

    arrays (dict[str, dict[KeyT, Tensor]]): By kind, an array for each parameter that it has.
    counts (dict[KeyT, int]): The number of updates of each parameter.
    numbers (dict[str, int]): Counts over all parameters.
    """

    arrays: dict[str, dict[KeyT, Tensor]]
    counts: dict[KeyT, int]
    numbers: dict[str, int]


class AdamW(Optimizer):
    """torch's AdamW as a thinc optimiser; it updates the weights at `step_schedules()`.

    The gradient norm is clipped over all parameters of all components together. So a call only
    collects the gradient of a parameter, and `step_schedules` updates the weights, in place.
    spaCy's training loop calls it after each batch. In your own loop, call it after `nlp.update`;
    without it, an update is applied only when the next update comes.

    Biases and the gains of normalisation layers (one-dimensional arrays) have no weight decay.
    Components that train with the second learning rate hand `for_head` to their model in place of
    the optimiser. A step whose gradient norm is not finite is left out and counted in `n_skipped`.
    The first one is warned about, and the third in a row is an error.

    With `use_averages`, spaCy evaluates and saves an average of the latest weights, over about the
    last ninth of the steps so far, in place of the latest weights. It steadies the scores.
    spacy-transformers' own encoder cannot take averages; `spacy-tabcnn.TransformerModel.v1` can.

    learn_rate (float | Generator): The learning rate of the encoder and of other components, or its
        schedule.
    head_learn_rate (float | Generator | None): The learning rate of this library's components, or
        its schedule; None for the first learning rate.
    weight_decay (float): The share of a weight, times the learning rate, that each step subtracts
        from it.
    grad_clip (float): Maximum norm of the gradient of all parameters together; a longer gradient is
        scaled down. 0 for no limit.
    beta1 (float): The decay rate of the gradient's running mean.
    beta2 (float): The decay rate of the squared gradient's running mean.
    eps (float): Added to the denominator, for numerical stability.
    use_averages (bool): Whether to keep averaged weights.
    RAISES (ValueError): If an argument is out of its range, if both rates are the same schedule, or
        if thinc computes on Metal, where its arrays share no memory with torch's.
    Source: the paper's appendix B; Loshchilov and Hutter (2019), Decoupled Weight Decay
        Regularization.
    """

    def __init__(
        self,
        learn_rate: float | Generator,
        *,
        head_learn_rate: float | Generator | None = None,
        weight_decay: float = 0.01,
        grad_clip: float = 1.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        use_averages: bool = False,
    ) -> None:
        if head_learn_rate is learn_rate and hasattr(learn_rate, "__next__"):
            raise ValueError(
                f"{NAME}: learn_rate and head_learn_rate are the same schedule, which would "
                "advance twice a step; leave out head_learn_rate or build a second schedule"
            )
        if isinstance(get_current_ops(), MPSOps):
            raise ValueError(
                f"{NAME}: cannot train on Metal; train on the CPU or CUDA, or with Adam.v1"
            )
        super().__init__(
            learn_rate,
            L2=weight_decay,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            grad_clip=grad_clip,
            use_averages=use_averages,
        )
        self._head_learn_rate: float | None = None
        if head_learn_rate is not None:
            self._set_attr_or_schedule("head_learn_rate", head_learn_rate)
        for name in ("learn_rate", "head_learn_rate", "grad_clip"):
            _check_range(name, getattr(self, name))
        _check_range("weight_decay", weight_decay)
        # torch requires a first group; the others come with their parameters. On 2 cores, with the
        # 22.6 million parameters of MiniLM-L6, a step takes 20 ms fused and 99 ms by `foreach`.
        self._adamw = _FusedAdamW([{"params": []}], betas=(beta1, beta2), eps=eps, fused=True)
        self._groups: dict[tuple[bool, bool, float], dict[str, Any]] = {}
        self._leaves: dict[KeyT, torch.nn.Parameter] = {}
        self._buffers: dict[KeyT, Tensor] = {}
        self._pending: dict[KeyT, _Update] = {}
        self._averages: dict[KeyT, Tensor] = {}
        self._n_steps = 0
        self.n_skipped = 0
        self._n_skipped_in_a_row = 0

    @property
    def head_learn_rate(self) -> float:
        """Return the current learning rate of the parameters that `for_head` collects."""
        if self._head_learn_rate is None:
            return self.learn_rate
        return self._head_learn_rate

    @head_learn_rate.setter
    def head_learn_rate(self, rate: float) -> None:
        self._head_learn_rate = rate

    @property
    def for_head(self) -> "HeadOptimizer":
        """Return this optimiser with its second learning rate, for the models of heads."""
        return HeadOptimizer(self)

    def __call__(
        self, key: KeyT, weights: FloatsXd, gradient: FloatsXd, *, lr_scale: float = 1.0
    ) -> tuple[FloatsXd, FloatsXd]:
        """Collect a gradient for the next step, which uses the first learning rate.

        key (tuple[int, str]): The parameter's identity: the id of its thinc node or torch shim, and
            its name.
        weights (FloatsXd): The parameter, to be updated in place.
        gradient (FloatsXd): Its gradient; set to zero.
        lr_scale (float): A factor on the learning rate.
        RETURNS (tuple[FloatsXd, FloatsXd]): The array that the step will update (`weights`, or a
            copy if they are not contiguous) and the gradient.
        """
        return self._collect_arrays(key, weights, gradient, lr_scale, is_head=False)

    def collect(
        self, key: KeyT, parameter: Tensor, gradient: Tensor, on_change: Callable[[], None]
    ) -> None:
        """Collect a gradient of a torch parameter for the next step; see `__call__`.

        key (tuple[int, str]): The parameter's identity; see `__call__`.
        parameter (Tensor): The parameter, to be updated in place.
        gradient (Tensor): Its gradient. It is not copied, so the caller must not use it again.
        on_change (Callable[[], None]): Called after each step that updates the parameter.
        """
        self._collect(key, parameter, gradient, is_head=False, on_change=on_change)

    def get_state(self) -> OptimizerState:
        """Return moments, averages and counts. The schedules are no part of it.

        RETURNS (OptimizerState): The state. Its arrays are the optimiser's own, not copies.
        """
        arrays: dict[str, dict[KeyT, Tensor]] = {AVERAGE: dict(self._averages)}
        counts: dict[KeyT, int] = {}
        for kind in MOMENTS:
            arrays[kind] = {}
        for key, leaf in self._leaves.items():
            moments = self._adamw.state.get(leaf)
            if not moments:
                continue
            counts[key] = int(moments["step"].item())
            for kind in MOMENTS:
                arrays[kind][key] = moments[kind]
        numbers = {
            "n_steps": self._n_steps,
            "n_skipped": self.n_skipped,
            "n_skipped_in_a_row": self._n_skipped_in_a_row,
        }
        return OptimizerState(arrays, counts, numbers)

    def set_state(self, state: OptimizerState) -> None:
        """Set moments, averages and counts, in an optimiser that has taken no step.

        state (OptimizerState): The state, see `get_state`. The optimiser owns its arrays from then
            on.
        """
        for key, count in state.counts.items():
            moments = [state.arrays[kind][key] for kind in MOMENTS]
            # The weights follow with the first gradient.
            leaf = self._leaves[key] = torch.nn.Parameter(torch.empty_like(moments[0]))
            step = torch.tensor(float(count), device=leaf.device)
            self._adamw.state[leaf] = {"step": step, **dict(zip(MOMENTS, moments, strict=True))}
        for key, average in state.arrays[AVERAGE].items():
            self._start_average(key, average)
        self._n_steps = state.numbers["n_steps"]
        self.n_skipped = state.numbers["n_skipped"]
        self._n_skipped_in_a_row = state.numbers["n_skipped_in_a_row"]

    def step_schedules(self) -> None:
        """Update the collected parameters, then advance the learning rates to the next step's."""
        self._step()
        super().step_schedules()

    def _collect_arrays(
        self, key: KeyT, weights: FloatsXd, gradient: FloatsXd, lr_scale: float, *, is_head: bool
    ) -> tuple[FloatsXd, FloatsXd]:
        """Collect a copy of a gradient, since thinc keeps its array."""
        self._step_if_pending(key)
        if not weights.flags.c_contiguous:
            # The fused kernels take the elements of weights, gradient and moments as they lie in
            # memory.
            weights = get_array_module(weights).ascontiguousarray(weights)
        values = torch.from_dlpack(weights)
        buffer = self._buffers.get(key)
        if buffer is None or (buffer.shape, buffer.device) != (values.shape, values.device):
            buffer = self._buffers[key] = torch.empty_like(values)
        buffer.copy_(torch.from_dlpack(gradient))
        gradient.fill(0.0)
        self._collect(key, values, buffer, is_head=is_head, lr_scale=lr_scale)
        return weights, gradient

    def _collect(
        self,
        key: KeyT,
        parameter: Tensor,
        gradient: Tensor,
        *,
        is_head: bool,
        lr_scale: float = 1.0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._step_if_pending(key)
        if not parameter.is_contiguous():
            parameter.data = parameter.data.contiguous()
        leaf = self._leaves.get(key)
        if leaf is None or (leaf.shape, leaf.device) != (parameter.shape, parameter.device):
            # New, or resized: the moments of the old shape have no meaning for the new one.
            leaf = self._leaves[key] = torch.nn.Parameter(parameter.data)
        # The model may have got another array since, as after loading from disk.
        leaf.data = parameter.data
        leaf.grad = gradient.contiguous()
        decays = parameter.dim() >= 2 and key[1].rsplit(".", 1)[-1] not in BIAS_NAMES
        self._pending[key] = _Update(leaf, is_head, decays, lr_scale, on_change)

    def _step_if_pending(self, key: KeyT) -> None:
        if key in self._pending:
            # A second update without a call of `step_schedules`.
            self._step()

    def _step(self) -> None:
        if not self._pending:
            return
        pending = dict(self._pending)
        self._pending.clear()
        updates = list(pending.values())
        norm = torch.nn.utils.get_total_norm([update.gradient for update in updates])
        # The one value of a step that the host waits for.
        if not torch.isfinite(norm):
            self._skip(norm, pending)
            return
        self._n_skipped_in_a_row = 0
        self._adamw.grad_scale = self._scale(norm)
        self._fill_groups(updates)
        self._adamw.step()
        for update in updates:
            update.leaf.grad = None
        # Once for each shim, not for each of its parameters.
        for on_change in {update.on_change for update in updates}:
            on_change()
        if self.averages is not None:
            self._average(pending)

    def _scale(self, norm: Tensor) -> Tensor | None:
        """Return the number by which gradients are divided, or None for no clipping."""
        if not self.grad_clip:
            return None
        return ((norm + CLIP_EPS) / self.grad_clip).clamp_(min=1.0)

    def _fill_groups(self, updates: list["_Update"]) -> None:
        """Put the parameters of a step into torch's groups, and set the groups' learning rates."""
        for group in self._groups.values():
            group["params"] = []
        for update in updates:
            group = self._group(update)
            rate = self.learn_rate
            if update.is_head:
                rate = self.head_learn_rate
            group["lr"] = update.lr_scale * rate
            group["params"].append(update.leaf)

    def _group(self, update: "_Update") -> dict[str, Any]:
        key = (update.is_head, update.decays, update.lr_scale)
        if key not in self._groups:
            decay = self.L2 * update.decays
            self._adamw.add_param_group({"params": [], "weight_decay": decay})
            self._groups[key] = self._adamw.param_groups[-1]
        return self._groups[key]

    def _average(self, updates: dict[KeyT, "_Update"]) -> None:
        for key, update in updates.items():
            average = self._averages.get(key)
            if average is None or average.shape != update.leaf.shape:
                self._start_average(key, update.leaf.detach().clone())
        n_before, rest = divmod(self._n_steps, AVERAGE_EVERY)
        self._n_steps += 1
        if rest == 0:
            averages = [self._averages[key] for key in updates]
            leaves: list[Tensor] = [update.leaf for update in updates.values()]
            with torch.no_grad():
                torch._foreach_lerp_(averages, leaves, 9.0 / (10.0 + n_before))

    def _start_average(self, key: KeyT, average: Tensor) -> None:
        self._averages[key] = average
        array = cast(FloatsXd, torch2xp(average))
        arrays = cast(dict[Any, FloatsXd], self.averages)
        arrays[key] = array
        # The key that thinc's own torch shims read; any other layer reads the first one.
        arrays[f"pytorch_{key[0]}_{key[1]}"] = array

    def _skip(self, norm: Tensor, pending: dict[KeyT, "_Update"]) -> None:
        self.n_skipped += 1
        self._n_skipped_in_a_row += 1
        if self._n_skipped_in_a_row > MAX_SKIPPED_IN_A_ROW:
            raise _describe_gradient(norm, pending, self._n_skipped_in_a_row)
        if self.n_skipped == 1:
            warnings.warn(
                f"{NAME}: left out a step, because the norm of its gradient is {norm.item()}; "
                "optimizer.n_skipped counts such steps. If there are many, lower the learning rate",
                stacklevel=3,
            )


class HeadOptimizer:
    """An `AdamW` with its second learning rate; it updates the weights at the AdamW's next step.

    It is called as a thinc optimiser, and takes torch's tensors
    (`runtime.optimizer.TensorOptimizer`).

    optimizer (AdamW): The optimiser.
    """

    def __init__(self, optimizer: AdamW) -> None:
        self._optimizer = optimizer

    def __call__(
        self, key: KeyT, weights: FloatsXd, gradient: FloatsXd, *, lr_scale: float = 1.0
    ) -> tuple[FloatsXd, FloatsXd]:
        """Collect a gradient for the second learning rate; see `AdamW.__call__`."""
        return self._optimizer._collect_arrays(key, weights, gradient, lr_scale, is_head=True)

    def collect(
        self, key: KeyT, parameter: Tensor, gradient: Tensor, on_change: Callable[[], None]
    ) -> None:
        """Collect a gradient for the second learning rate; see `AdamW.collect`."""
        self._optimizer._collect(key, parameter, gradient, is_head=True, on_change=on_change)


class _Update(NamedTuple):
    """A parameter whose gradient waits for the step. `leaf` shares its memory."""

    leaf: torch.nn.Parameter
    is_head: bool
    decays: bool
    lr_scale: float
    on_change: Callable[[], None]

    @property
    def gradient(self) -> Tensor:
        return cast(Tensor, self.leaf.grad)


class _FusedAdamW(torch.optim.AdamW):
    """torch's fused AdamW. It divides gradients by `grad_scale` as it reads them, at no cost."""

    grad_scale: Tensor | None = None


def _describe_gradient(
    norm: Tensor, pending: dict[KeyT, "_Update"], n_steps: int
) -> DivergenceError:
    """Make the error about a gradient that stays not finite."""
    keys = []
    for key, update in pending.items():
        if not torch.isfinite(update.gradient).all():
            keys.append(key)
    names = ", ".join(sorted(dict.fromkeys(key[1] for key in keys))[:5])
    return DivergenceError(
        f"{NAME}: the norm of the gradient is {norm.item()}, in {n_steps} steps in a row, so no "
        f"step can be taken. {len(keys)} of {len(pending)} parameters have such a gradient "
        f"({names or 'none by itself'})",
        keys=keys,
    )


def _check_range(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{NAME}: {name} is {value!r}; expected a number of at least 0")
