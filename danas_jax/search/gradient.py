"""Strategy `gradient`: distributions over genes that follow the supernet's gradient and the costs' (DMasking, FBNetV2).

Before each round a budget's MEMBERS distributions learn. Network steps ask the supernet what a little more of each
value does to the loss of a mixture drawn by the Gumbel-softmax; the input's shape, which cannot be mixed, is drawn by
hard Gumbel, twice on the same mixture and pictures, two different values of one axis, so that each is the other's
baseline. All members share what they learn of the loss. The expected cost is differentiable, too: its slope by the
share of a value is the expectation of the cost over systems that have it, taken over samples and the cost tables.
Members aim at different costs, from the budget's limit down, so together they follow the front. What they propose, half
of it near the best evaluated so far, is decoded to genes, and only what keeps the hard limits is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from danas_jax.config import SearchSettings
from danas_jax.errors import UserError
from danas_jax.search import feasible, objectives
from danas_jax.search import state as shared
from danas_jax.search.feasible import Problem
from danas_jax.search.screening import Quick
from danas_jax.search.state import State, generator, tell

__all__ = ["Slopes", "ask", "init", "learn", "tell"]

Slopes = Callable[[np.ndarray, tuple[int, ...], Sequence[int]], tuple[float, np.ndarray]]  # see supernet/mixture.py

MEMBERS = 6  # distributions, each with a share of the way from the smallest system's costs to the limit
DISTRIBUTION_STEPS = 8  # per network step: they need no network
SAMPLES = 256  # systems per distribution whose costs a distribution step takes
RATE = 0.1  # of Adam (Kingma and Ba 2015), in logits
LOGIT_RANGE = 4.0  # logits stay within +- this: nothing becomes certain
TEMPERATURE = 1.0  # of the Gumbel-softmax
SLOPE_MEMORY = 0.9  # how much of the loss's slopes is kept at a network step
SHAPE_RATE = 0.3  # how far a pair of losses moves what is known of two values of a shape axis
KEPT = 0.85  # share of the genes that a proposal near a survivor takes from it
PENALTY = 0.5  # nats of loss per factor e of cost above a member's aim


@dataclass(frozen=True)
class Learner(State):
    """A search between two rounds, with what it has learned; arrays float64, never written to."""

    logits: np.ndarray  # [K, G, V] of the members' distributions
    moments: np.ndarray  # [2, K, G, V] of Adam
    slopes: np.ndarray  # [G, V] of the loss by the shares of values [nats]
    steps: int  # network steps so far

    def memory(self) -> dict:
        """What `remembering` needs, JSON-ready."""
        arrays = {name: getattr(self, name).tolist() for name in ("logits", "moments", "slopes")}
        return {**arrays, "steps": self.steps}

    def remembering(self, memory: dict) -> Learner:
        """This search with a saved `memory`; UserError when it is damaged."""
        try:
            arrays = {name: np.array(memory[name], np.float64) for name in ("logits", "moments", "slopes")}
            if any(array.shape != getattr(self, name).shape for name, array in arrays.items()):
                raise ValueError("shapes differ")
            return replace(self, **arrays, steps=int(memory["steps"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the saved search is damaged ({error!r}): delete it and search again") from error


def init(problem: Problem, settings: SearchSettings, seed: int | Sequence[int]) -> Learner:
    """A search that has not begun: every value within the bounds equally likely."""
    plain = shared.init(problem, settings, seed)
    shape = _allowed(problem).shape
    return Learner(
        **{name: getattr(plain, name) for name in State.__dataclass_fields__},
        logits=np.zeros((MEMBERS, *shape)),
        moments=np.zeros((2, MEMBERS, *shape)),
        slopes=np.zeros(shape),
        steps=0,
    )


def learn(state: Learner, quick: Quick, slopes: Slopes) -> Learner:
    """The state after `settings.gradient_steps` network steps; `quick` gives the costs of its budget."""
    allowed, aims = _allowed(state.problem), _aims(state.problem, quick)
    for _ in range(state.settings.gradient_steps):
        rng = np.random.default_rng([*state.seed, state.steps, 1])
        state = replace(state, slopes=_loss_slopes(state, allowed, slopes, rng), steps=state.steps + 1)
        for i in range(DISTRIBUTION_STEPS):
            state = _distribution_step(state, allowed, quick, aims, rng, i)
    return state


def ask(state: State) -> np.ndarray:
    """The next candidates: canonical, fitting, never told of before; int64 [N, G], N <= population, 0 at the end."""
    assert isinstance(state, Learner)  # made by `init`
    shares = _shares(state.logits, _allowed(state.problem))

    def propose(rng: np.random.Generator, count: int) -> np.ndarray:
        drawn = _decode(rng, shares[np.arange(count) % MEMBERS])
        if not len(state.genes):
            return drawn
        # Every other one takes most of its genes from a system that has proved itself.
        near = state.genes[rng.integers(len(state.genes), size=count)]
        kept = (rng.random(drawn.shape) < KEPT) & (np.arange(count)[:, None] // MEMBERS % 2 == 1)
        return np.where(kept, near, drawn)

    return feasible.collect(state.problem, state.known, propose, generator(state), state.settings.population)


def _allowed(problem: Problem) -> np.ndarray:
    """Which values lie within the bounds, bool [G, V]."""
    values = np.arange(problem.space.cardinalities.max())
    return (values >= problem.lower[:, None]) & (values <= problem.upper[:, None])


def _shares(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Softmax over the allowed values, [..., G, V]."""
    powers = np.where(allowed, np.exp(logits - np.where(allowed, logits, -np.inf).max(-1, keepdims=True)), 0.0)
    return powers / powers.sum(-1, keepdims=True)


def _decode(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """One value per gene drawn by its shares [N, G, V]; int64 [N, G]."""
    steps = shares.cumsum(-1)
    return (rng.random((*shares.shape[:-1], 1)) * steps[..., -1:] >= steps).sum(-1)


def _cost_names(quick: Quick) -> list[str]:
    """The objectives that are costs."""
    return [name for name in quick.objectives if name != "error"]


def _aims(problem: Problem, quick: Quick) -> np.ndarray:
    """The costs that each member aims at, float64 [K, objectives without error]: down from the limits, by factors."""
    names = _cost_names(quick)
    if not names:
        return np.empty((MEMBERS, 0))
    ends = [quick.costs(problem.canonical(bound[None]), quick.limits.board) for bound in (problem.lower, problem.upper)]
    low = objectives.columns(names, np.ones(1), ends[0], quick.limits)[0]
    high = np.maximum(objectives.corner(names, quick.limits, ends[1]), low)
    way = (np.arange(MEMBERS, 0, -1) / MEMBERS)[:, None]
    return np.exp((1 - way) * np.log(low) + way * np.log(high))


def _loss_slopes(state: Learner, allowed: np.ndarray, slopes: Slopes, rng: np.random.Generator) -> np.ndarray:
    """What is known of the loss after one more look at a mixture near one of the members, [G, V]."""
    member = state.steps % MEMBERS
    gumbel = rng.gumbel(size=state.logits.shape[1:])
    shares = _shares((state.logits[member] + gumbel) / TEMPERATURE, allowed)
    axes = list(state.problem.space.shape_axes)
    likely = np.where(allowed[axes], state.logits[member, axes] + gumbel[axes], -np.inf)
    shape, free = likely.argmax(-1), [axis for axis in axes if allowed[axis].sum() > 1]
    axis = free[state.steps // MEMBERS % len(free)] if free else axes[0]  # the axis that is looked at
    drawn = np.argsort(-likely[axis])[: 2 if free else 1]
    shapes = [tuple(int(value if a == axis else shape[a]) for a in axes) for value in drawn]
    draw = [*state.seed, state.steps, 2]
    losses, found = zip(*(slopes(shares, one, draw) for one in shapes), strict=True)
    kept = min(SLOPE_MEMORY, state.steps / (state.steps + 1))  # the first ones are averaged
    known = kept * state.slopes + (1 - kept) * np.mean(found, axis=0)
    known[axes] = state.slopes[axes]
    if len(drawn) == 2:
        surprise = (losses[0] - losses[1]) - (known[axis, drawn[0]] - known[axis, drawn[1]])
        known[axis, drawn] += SHAPE_RATE * surprise * np.array([0.5, -0.5])
    return known


def _distribution_step(
    state: Learner, allowed: np.ndarray, quick: Quick, aims: np.ndarray, rng: np.random.Generator, i: int
) -> Learner:
    """One step of Adam for every member on expected loss + PENALTY * expected cost beyond its aim or a limit."""
    shares = _shares(state.logits, allowed)
    drawn = _decode(rng, np.repeat(shares, SAMPLES, axis=0))
    genes = state.problem.canonical(drawn)
    costs = quick.costs(genes, quick.limits.board)
    names = _cost_names(quick)
    excess = np.maximum(0, quick.violation(costs, quick.limits))
    if names:
        columns = objectives.columns(names, np.ones(len(genes)), costs, quick.limits)
        over = np.log(columns) - np.log(np.repeat(aims, SAMPLES, axis=0))
        excess = excess + np.maximum(0, over).sum(axis=1)
    slope = state.slopes + PENALTY * _given(drawn, excess, shares.shape)
    gradient = shares * (slope - (shares * slope).sum(-1, keepdims=True))
    step = (state.steps - 1) * DISTRIBUTION_STEPS + i + 1  # the network step before it is counted already
    first = 0.9 * state.moments[0] + 0.1 * gradient
    second = 0.99 * state.moments[1] + 0.01 * np.square(gradient)
    change = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-6)
    logits = np.clip(state.logits - RATE * change, -LOGIT_RANGE, LOGIT_RANGE)
    return replace(state, logits=logits, moments=np.stack([first, second]))


def _given(drawn: np.ndarray, cost: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Mean cost of a member's systems that have a value, less that of all its systems; [K, G, V], 0 where none has it.

    `drawn` [K * SAMPLES, G], `cost` [K * SAMPLES].
    """
    members, genes, values = shape
    cell = (np.arange(members).repeat(SAMPLES)[:, None] * genes + np.arange(genes)) * values + drawn
    cost = cost - np.repeat(cost.reshape(members, SAMPLES).mean(axis=1), SAMPLES)
    weights = np.repeat(cost[:, None], genes, axis=1)
    total = np.bincount(cell.ravel(), weights.ravel(), minlength=members * genes * values)
    count = np.bincount(cell.ravel(), minlength=members * genes * values)
    return (total / np.maximum(count, 1)).reshape(shape)
