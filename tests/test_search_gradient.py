"""Strategy `gradient` on a network whose loss is known: what is learned of it, what is proposed, and how it resumes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from search_toys import SPACE, toy_accuracy, toy_costs, violation

from danas_jax.config import Limits, SearchSettings
from danas_jax.errors import UserError
from danas_jax.search import gradient, pareto_json, runner
from danas_jax.search.feasible import Problem
from danas_jax.search.screening import Quick

LIMITS = Limits(sram_bytes=20_000)
SETTINGS = SearchSettings(strategy="gradient", population=8, generations=3, gradient_steps=12)
COSTS = toy_costs(SPACE)
RESOLUTION = SPACE.index["resolution_px"]
EFFECTS = np.where(
    np.arange(SPACE.cardinalities.max()) < SPACE.cardinalities[:, None],
    np.random.default_rng(3).normal(0, 0.05, (len(SPACE.axes), SPACE.cardinalities.max())),
    0.0,
)  # nats that a share of each value adds to the loss


def slopes(shares, resolution, draw):
    """The loss is a sum over the shares; every batch adds noise of its own to the loss and to its slopes."""
    assert shares.sum(-1) == pytest.approx(np.ones(len(shares)))
    rng = np.random.default_rng(draw)
    others = np.delete(np.arange(len(shares)), RESOLUTION)
    loss = 0.6 + (shares * EFFECTS)[others].sum() + EFFECTS[RESOLUTION, resolution] + rng.normal(0, 0.3)
    noisy = EFFECTS + rng.normal(0, 0.02, EFFECTS.shape)
    noisy[RESOLUTION] = 0
    return loss, noisy


def problem_of(limits):
    costs = lambda genes: violation(COSTS(genes, ""), limits)  # noqa: E731
    return Problem(SPACE, SPACE.min_genes, SPACE.max_genes, costs)


def quick_of(limits, objectives=SETTINGS.objectives):
    return Quick(COSTS, violation, limits, objectives)


def learned(limits=LIMITS, settings=SETTINGS, rounds=3, bounds=None):
    problem = problem_of(limits)
    if bounds:
        problem = replace(problem, lower=bounds[0], upper=bounds[1])
    state = gradient.init(problem, settings, 4)
    for _ in range(rounds):
        state = gradient.learn(state, quick_of(limits, settings.objectives), slopes)
    return state


def shares_of(state):
    return gradient._shares(state.logits, gradient._allowed(state.problem))


def test_without_limits_the_values_of_least_loss_are_likely():
    state = learned(Limits(), replace(SETTINGS, objectives=("error",)), rounds=6)
    best = np.where(EFFECTS == 0, np.inf, EFFECTS).argmin(-1)
    gap = np.sort(np.where(EFFECTS == 0, np.inf, EFFECTS), axis=-1)[:, :2] @ [-1, 1]
    clear = np.flatnonzero((SPACE.cardinalities > 1) & (gap > 0.02))
    assert RESOLUTION in clear  # which only pairs of losses tell
    assert len(clear) > 8
    assert (shares_of(state).argmax(-1)[:, clear] == best[clear]).all()


def test_members_spread_from_the_limit_down():
    state = learned()
    rng = np.random.default_rng(0)
    arenas = [
        np.median(COSTS(state.problem.canonical(gradient._decode(rng, np.repeat(one[None], 200, 0))), "")["macs"])
        for one in shares_of(state)
    ]
    assert arenas[0] > 2 * arenas[-1]
    assert (np.diff(arenas) <= 0.1 * arenas[0]).all()


def test_expected_costs_are_means_over_the_systems_that_have_a_value():
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, 2, (gradient.MEMBERS * gradient.SAMPLES, 3))
    cost = rng.random(len(drawn))
    found = gradient._given(drawn, cost, (gradient.MEMBERS, 3, 2))
    first, own = drawn[: gradient.SAMPLES], cost[: gradient.SAMPLES]
    assert found[0, 1, 1] == pytest.approx(own[first[:, 1] == 1].mean() - own.mean())
    assert not gradient._given(drawn * 0, cost, (gradient.MEMBERS, 3, 2))[:, :, 1].any()


def test_values_outside_the_bounds_are_never_drawn():
    lower, upper = SPACE.min_genes.copy(), SPACE.max_genes.copy()
    lower[RESOLUTION], upper[SPACE.index["colour"]] = 1, 0
    state = learned(bounds=(lower, upper))
    genes = gradient.ask(replace(state, settings=replace(SETTINGS, population=50)))
    assert len(genes) == 50
    assert (genes[:, RESOLUTION] >= 1).all() and (genes[:, SPACE.index["colour"]] == 0).all()


def found_by(strategy, save=lambda state: None, resume=None, settings=SETTINGS, limits=(LIMITS,), look=slopes):
    def constraint(genes, limits):
        return violation(COSTS(genes, ""), limits)

    return runner.search(
        SPACE, replace(settings, strategy=strategy), limits, COSTS, violation, constraint, toy_accuracy(SPACE), 1, 400,
        slopes=look, save=save, resume=resume,
    )  # fmt: skip


def test_a_search_keeps_the_limits_and_needs_slopes():
    found = found_by("gradient")
    result = found.budgets[0]
    assert all(c.costs["arena_host_bytes"] <= LIMITS.sram_bytes for c in result.front + result.reranked)
    with pytest.raises(UserError, match="gradient"):
        found_by("gradient", look=None)


def test_a_search_killed_in_any_round_goes_on_to_the_same_archive():
    saved = []
    limits = (LIMITS, Limits(sram_bytes=9_000))
    whole = pareto_json.to_json(found_by("gradient", save=saved.append, limits=limits))
    assert len(saved) >= SETTINGS.generations + 1
    for state in saved:
        again = found_by("gradient", resume=json.loads(json.dumps(state)), limits=limits)
        assert pareto_json.to_json(again) == whole


@pytest.mark.parametrize("memory", [{}, {"logits": [], "moments": [], "slopes": [], "steps": 1}])
def test_a_damaged_memory_is_named(memory):
    saved = []
    found_by("gradient", save=saved.append)
    with pytest.raises(UserError, match="damaged"):
        found_by("gradient", resume={**saved[0], "memory": [memory]})
