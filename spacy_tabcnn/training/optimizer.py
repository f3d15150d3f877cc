"""AdamW as the paper trains with it: two learning rates, global clipping, decay of weight matrices only."""

import math
import warnings
from typing import Any, NamedTuple, cast

import torch
from thinc.api import MPSOps, Optimizer, get_current_ops, torch2xp
from thinc.optimizers import KeyT
from thinc.types import FloatsXd, Generator
from thinc.util import get_array_module

# Last parts of the names of thinc's and torch's biases. That of a Maxout layer has two dimensions.
BIAS_NAMES = ("b", "bias")
CLIP_EPS = 1e-6  # as in `torch.nn.utils.clip_grad_norm_`
# Steps from one update of the averages to the next. Over a window of hundreds of steps more would change nothing.
AVERAGE_EVERY = 8


class _Update(NamedTuple):
    """A parameter whose gradient waits for the step. `leaf` shares its memory with the model's array."""

    leaf: torch.nn.Parameter
    is_head: bool
    decays: bool
    lr_scale: float


class _FusedAdamW(torch.optim.AdamW):
    """Its fused kernels divide gradients by `grad_scale` as they read them, so clipping costs no pass of its own."""

    grad_scale: torch.Tensor | None = None


class AdamW(Optimizer):
    """torch's AdamW behind the interface of a thinc optimizer.

    The gradient norm is clipped over all parameters of all components together. So a call only collects the
    gradient of a parameter, and `step_schedules` updates the weights, in place: spaCy's training loop calls
    it after each batch. Call it after `nlp.update` in a loop of your own; without it, an update is applied
    only when the next one comes.

    Biases and the gains of normalisation layers (one-dimensional arrays) are spared from weight decay.
    Components that train with the second learning rate hand `for_head` to their model in place of the
    optimizer. A step whose gradient norm is not finite is left out, counted in `n_skipped` and warned about
    once.

    With `use_averages`, spaCy evaluates and saves an average of the latest weights, over about the last ninth of the
    steps so far, in the place of the latest ones. It steadies the scores. spacy-transformers' own encoder cannot take
    it; `spacy-tabcnn.TransformerModel.v1` does.

    learn_rate (float | Generator): The learning rate of the encoder and of other components, or its schedule.
    head_learn_rate (float | Generator | None): The learning rate of this library's components, or its
        schedule; None for that of the rest.
    weight_decay (float): The share of a weight, times the learning rate, that each step takes off it.
    grad_clip (float): The norm to which the gradient of all parameters together is scaled down; 0 for no
        limit.
    beta1 (float): The decay rate of the gradient's running mean.
    beta2 (float): The decay rate of the squared gradient's running mean.
    eps (float): Added to the denominator, for numerical stability.
    use_averages (bool): Whether to keep averaged weights.
    RAISES (ValueError): If an argument is out of its range, if both rates are the same schedule, or if thinc
        computes on Metal, where its arrays share no memory with torch's.
    Source: the paper's appendix B; Loshchilov and Hutter (2019), Decoupled Weight Decay Regularization.
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
        where = "spacy-tabcnn.AdamW.v1"
        if head_learn_rate is learn_rate and hasattr(learn_rate, "__next__"):
            raise ValueError(
                f"{where}: learn_rate and head_learn_rate are the same schedule, which would advance twice a "
                "step; leave out head_learn_rate or build a second schedule"
            )
        if isinstance(get_current_ops(), MPSOps):
            raise ValueError(
                f"{where}: cannot train on Metal; train on the CPU or CUDA, or with Adam.v1"
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
        for name, value in (
            ("learn_rate", self.learn_rate),
            ("head_learn_rate", self.head_learn_rate),
            ("weight_decay", weight_decay),
            ("grad_clip", grad_clip),
        ):
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{where}: {name} is {value!r}; expected a number of at least 0")
        # torch wants a first group; the others come with their parameters. On 2 cores, with the 22.6 million
        # parameters of MiniLM-L6, a step takes 20 ms fused and 99 ms by `foreach`.
        self._adamw = _FusedAdamW([{"params": []}], betas=(beta1, beta2), eps=eps, fused=True)
        self._groups: dict[tuple[bool, bool, float], dict[str, Any]] = {}
        self._leaves: dict[KeyT, torch.nn.Parameter] = {}
        self._buffers: dict[KeyT, torch.Tensor] = {}
        self._pending: dict[KeyT, _Update] = {}
        self._averages: dict[KeyT, torch.Tensor] = {}
        self._n_steps = 0
        self.n_skipped = 0

    @property
    def head_learn_rate(self) -> float:
        """The current learning rate of the parameters that come in through `for_head`."""
        return self.learn_rate if self._head_learn_rate is None else self._head_learn_rate

    @head_learn_rate.setter
    def head_learn_rate(self, rate: float) -> None:
        self._head_learn_rate = rate

    def __call__(
        self,
        key: KeyT,
        weights: FloatsXd,
        gradient: FloatsXd,
        *,
        lr_scale: float = 1.0,
        give_gradient: bool = False,
    ) -> tuple[FloatsXd, FloatsXd]:
        """Collect the gradient of a parameter for the next step, which uses the first learning rate.

        key (tuple[int, str]): The parameter's identity: the id of its thinc node or torch shim, and its name.
        weights (FloatsXd): The parameter, to be updated in place.
        gradient (FloatsXd): Its gradient; set to zero, unless it is given.
        lr_scale (float): A factor on the learning rate.
        give_gradient (bool): Whether the caller has no more use for the gradient's array, which saves its copy.
        RETURNS (tuple[FloatsXd, FloatsXd]): The array that the step will update (`weights`, or a copy if
            those are not contiguous) and the gradient.
        """
        return self._collect(
            key, weights, gradient, lr_scale, is_head=False, give_gradient=give_gradient
        )

    def for_head(
        self,
        key: KeyT,
        weights: FloatsXd,
        gradient: FloatsXd,
        *,
        lr_scale: float = 1.0,
        give_gradient: bool = False,
    ) -> tuple[FloatsXd, FloatsXd]:
        """Collect the gradient of a parameter for the next step, which uses `head_learn_rate`. A component's
        `finish_update` hands this method to its model. Arguments and results are those of a plain call.
        """
        return self._collect(
            key, weights, gradient, lr_scale, is_head=True, give_gradient=give_gradient
        )

    def step_schedules(self) -> None:
        """Update the collected parameters, then advance the learning rates to those of the next step."""
        self._step()
        super().step_schedules()

    def _collect(
        self,
        key: KeyT,
        weights: FloatsXd,
        gradient: FloatsXd,
        lr_scale: float,
        *,
        is_head: bool,
        give_gradient: bool,
    ) -> tuple[FloatsXd, FloatsXd]:
        if key in self._pending:
            # A second update without a call of `step_schedules`.
            self._step()
        if not weights.flags.c_contiguous:
            # The fused kernels take the elements of weights, gradient and moments as they lie in memory.
            weights = get_array_module(weights).ascontiguousarray(weights)
        values = torch.from_dlpack(weights)
        leaf = self._leaves.get(key)
        if leaf is None or (leaf.shape, leaf.device) != (values.shape, values.device):
            # New, or resized: the moments of the old shape have no meaning for the new one.
            leaf = self._leaves[key] = torch.nn.Parameter(values)
            self._buffers.pop(key, None)
        # The model may have got another array since, as after loading from disk.
        leaf.data = values
        if give_gradient:
            leaf.grad = torch.from_dlpack(gradient)
        else:
            if key not in self._buffers:
                self._buffers[key] = torch.empty_like(values)
            leaf.grad = self._buffers[key].copy_(torch.from_dlpack(gradient))
            gradient.fill(0.0)
        decays = weights.ndim >= 2 and key[1].rsplit(".", 1)[-1] not in BIAS_NAMES
        self._pending[key] = _Update(leaf, is_head, decays, lr_scale)
        return weights, gradient

    def _step(self) -> None:
        if not self._pending:
            return
        pending = dict(self._pending)
        updates = list(pending.values())
        self._pending.clear()
        norm = torch.nn.utils.get_total_norm(
            [cast(torch.Tensor, update.leaf.grad) for update in updates]
        )
        if not torch.isfinite(norm):
            self._skip(norm)
            return
        scale = ((norm + CLIP_EPS) / self.grad_clip).clamp_(min=1.0) if self.grad_clip else None
        self._adamw.grad_scale = scale
        for group in self._groups.values():
            group["params"] = []
        for leaf, is_head, decays, lr_scale in updates:
            group = self._group(is_head, decays, lr_scale)
            group["lr"] = lr_scale * (self.head_learn_rate if is_head else self.learn_rate)
            group["params"].append(leaf)
        self._adamw.step()
        for leaf, *_ in updates:
            leaf.grad = None
        if self.averages is not None:
            self._average(pending)

    def _average(self, updates: dict[KeyT, _Update]) -> None:
        for key, update in updates.items():
            average = self._averages.get(key)
            if average is None or average.shape != update.leaf.shape:
                average = self._averages[key] = update.leaf.detach().clone()
                array = cast(FloatsXd, torch2xp(average))
                cast(dict[Any, FloatsXd], self.averages)[key] = array
                # What thinc's own torch shims go by; any other layer goes by the key.
                cast(dict[Any, FloatsXd], self.averages)[f"pytorch_{key[0]}_{key[1]}"] = array
        n_before, rest = divmod(self._n_steps, AVERAGE_EVERY)
        self._n_steps += 1
        if rest == 0:
            averages = [self._averages[key] for key in updates]
            with torch.no_grad():
                torch._foreach_lerp_(
                    averages, [update.leaf for update in updates.values()], 9.0 / (10.0 + n_before)
                )

    def _group(self, is_head: bool, decays: bool, lr_scale: float) -> dict[str, Any]:
        key = (is_head, decays, lr_scale)
        if key not in self._groups:
            self._adamw.add_param_group({"params": [], "weight_decay": self.L2 if decays else 0.0})
            self._groups[key] = self._adamw.param_groups[-1]
        return self._groups[key]

    def _skip(self, norm: torch.Tensor) -> None:
        self.n_skipped += 1
        if self.n_skipped == 1:
            warnings.warn(
                f"spacy-tabcnn.AdamW.v1: left out a step, because the norm of its gradient is {norm.item()}; "
                "optimizer.n_skipped counts such steps. If there are many, lower the learning rate",
                stacklevel=3,
            )
