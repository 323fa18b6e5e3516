"""search(): shared evaluations, limits, interruption, exhaustion, finalists; pareto.json and evaluations.csv."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from search_toys import SPACE, tiny_space, toy_accuracy, toy_costs, violation

from danas_jax.config import Limits, SearchSettings
from danas_jax.errors import UserError
from danas_jax.search import archive as archives
from danas_jax.search import pareto_json, runner
from danas_jax.search.finalists import choose
from danas_jax.search.runner import search
from danas_jax.views import data_text

SETTINGS = SearchSettings(population=12, generations=3, rerank=6, finalists_per_budget=2)
BUDGETS = (Limits(sram_bytes=4000), Limits(sram_bytes=7000, flash_bytes=100_000), Limits(latency_ms=20.0, board="big"))


class Killed(Exception):
    pass


def go(space=SPACE, settings=SETTINGS, budgets=BUDGETS, evaluate=None, **others):
    evaluate, costs = evaluate or toy_accuracy(space), toy_costs(space)

    def constraint(genes, limits):
        return violation(costs(genes, limits.board), limits)

    return search(space, settings, budgets, costs, violation, constraint, evaluate, 5, 400, **others)


def text_of(result, space=SPACE):
    return json.dumps(pareto_json.to_json(result), allow_nan=False) + archives.evaluations_csv(result, space)


@pytest.fixture(scope="module")
def saved_and_result():
    saved = []
    return saved, go(save=lambda state: saved.append(json.dumps(state, allow_nan=False)))


def test_nothing_in_the_archive_breaks_a_limit(saved_and_result):
    _, result = saved_and_result
    costs = toy_costs(SPACE)
    for budget, limits in zip(result.budgets, BUDGETS, strict=True):
        assert budget.front and budget.reranked and len(budget.finalists) == 2
        for candidate in budget.front + budget.reranked:
            mine = costs(np.array([candidate.genes]), limits.board)
            assert violation(mine, limits)[0] <= 0
            assert candidate.costs == {key: value[0].item() for key, value in mine.items()}
        assert all(budget.candidate(i).accuracy_full is not None for i in budget.finalists)
        assert len(budget.hypervolume) == 5 and list(budget.hypervolume) == sorted(budget.hypervolume)
        assert 0 < budget.hypervolume[0] < budget.hypervolume[-1] <= 1


def test_budgets_share_evaluations_and_nothing_is_evaluated_twice():
    calls = []
    evaluate = toy_accuracy(SPACE)

    def counting(genes, tier):
        calls.append((tier, [g.tobytes() for g in genes]))
        return evaluate(genes, tier)

    result = go(evaluate=counting)
    assert [tier for tier, _ in calls] == ["half"] * 5 + ["full", "int8"]  # four generations and the data twins
    assert calls[-1][1] == calls[-2][1]
    for tier in ("half", "full", "int8"):
        seen = [key for t, keys in calls for key in keys if t == tier]
        assert len(seen) == len(set(seen))
    assert len(calls[-1][1]) <= 6 * len(BUDGETS)
    # The front of a loose budget is over everything evaluated, whichever budget asked for it.
    found = result.evaluations
    fits = violation(found.costs[""], BUDGETS[1]) <= 0
    best = max(c.accuracy_half for c in result.budgets[1].front)
    assert best == found.half[fits].max()


def test_finalists_follow_the_rule_by_int8(saved_and_result):
    """The rule on int8 accuracies, on those of the float networks only where int8 is switched off."""
    float_only = go(settings=replace(SETTINGS, rerank_int8=False))
    for result, tier in ((saved_and_result[1], "int8"), (float_only, "full")):
        for budget in result.budgets:
            rows = budget.reranked
            accuracy = np.array([getattr(c, f"accuracy_{tier}") for c in rows])
            assert (np.diff(accuracy) <= 0).all()
            arena, macs = (np.array([c.costs[k] for c in rows]) for k in ("arena_device_bytes", "macs"))
            assert budget.finalists == tuple(rows[i].id for i in choose(accuracy, arena, macs, 400, count=2))
    assert {c.accuracy_int8 for b in float_only.budgets for c in b.reranked} == {None}
    assert float_only.tiers["int8"] is None and saved_and_result[1].tiers["int8"]["systems"] > 6
    assert [b.reranked for b in float_only.budgets] != [b.reranked for b in saved_and_result[1].budgets]


def test_a_network_that_int8_ruins_is_no_finalist():
    good = go(budgets=BUDGETS[1:2]).budgets[0].finalists[0]

    def ruined(genes, tier):
        accuracy = toy_accuracy(SPACE)(genes, tier)
        ids = np.array([SPACE.candidate_id(g) for g in genes])
        return np.where((ids == good) & (tier == "int8"), 0.5, accuracy)

    (budget,) = go(budgets=BUDGETS[1:2], evaluate=ruined).budgets
    assert good not in budget.finalists and good == budget.reranked[-1].id


@pytest.mark.parametrize("screen", [0, 200])
@pytest.mark.parametrize("strategy", ["evolution", "random"])
# Of the evaluations; from the end: data twins, whole slice, int8.
@pytest.mark.parametrize("die_at", [1, 2, 3, -3, -2, -1])
def test_killed_in_any_generation_resumes_to_the_same_archive(strategy, die_at, screen):
    settings = SearchSettings(strategy=strategy, population=8, generations=3, rerank=4, screen=screen)
    saved, calls, evaluate = [], [], toy_accuracy(SPACE)

    def dying(genes, tier):
        calls.append(len(genes))
        if len(calls) == die_at:
            raise Killed
        return evaluate(genes, tier)

    place, die_at = die_at, 0
    whole, total = text_of(go(settings=settings, evaluate=dying)), len(calls)
    die_at, calls = place % (total + 1), []
    with pytest.raises(Killed):
        go(settings=settings, evaluate=dying, save=lambda state: saved.append(json.dumps(state)))
    assert len(saved) == die_at - 1
    resume = json.loads(saved[-1]) if saved else None
    done, calls = len(calls) - 1, [0] * 100
    result = go(settings=settings, evaluate=dying, resume=resume)
    assert text_of(result) == whole
    assert len(calls) - 100 == total - done  # nothing was evaluated again


def test_a_slow_save_comes_seldom_and_loses_nothing(saved_and_result, monkeypatch):
    monkeypatch.setattr(runner, "_SAVE_SOON_S", -1.0)  # every save counts as slow
    monkeypatch.setattr(runner, "_SAVE_EVERY", 1e12)
    every, result = saved_and_result
    saved = []
    assert text_of(go(save=lambda state: saved.append(json.dumps(state)))) == text_of(result)
    assert json.loads(saved[0])["rounds"] == json.loads(every[0])["rounds"]
    assert len(saved) < len(every)
    assert saved[-1] == every[-1]  # with all accuracies of the last rounds
    assert text_of(go(resume=json.loads(saved[0]))) == text_of(result)


def test_killed_while_saving_and_after_the_end(saved_and_result):
    saved, result = saved_and_result
    for state in saved:
        assert text_of(go(resume=json.loads(state))) == text_of(result)

    def nothing_left(genes, tier):
        raise AssertionError("evaluated again")

    assert text_of(go(resume=json.loads(saved[-1]), evaluate=nothing_left)) == text_of(result)


def test_the_best_see_no_more_data_than_helps():
    """One network is good, in colour and in grey, and the strategy meets it in colour: its grey twin is taken."""
    colour, good = SPACE.index["colour"], []

    def colour_blind(genes, tier):
        if not good:
            good.append(genes[np.flatnonzero(genes[:, colour])[0]])
        differs = genes != good[0]
        differs[:, colour] = False
        return np.where(differs.any(axis=1), 0.6, 0.9)

    settings = SearchSettings(population=8, generations=0, rerank=4)
    (budget,) = go(settings=settings, budgets=(Limits(sram_bytes=40_000),), evaluate=colour_blind).budgets
    finalist = budget.candidate(budget.finalists[0])
    assert finalist.data["colour"] == "mono"
    assert finalist.accuracy_full == 0.9


def test_a_failed_evaluation_never_wins_and_survives_the_save():
    evaluate, saved = toy_accuracy(SPACE), []

    def failing(genes, tier):
        accuracy = evaluate(genes, tier)
        accuracy[::3] = np.nan
        return accuracy

    result = go(evaluate=failing, save=lambda state: saved.append(json.dumps(state, allow_nan=False)))
    assert text_of(go(evaluate=failing, resume=json.loads(saved[1]))) == text_of(result)
    for budget in result.budgets:
        assert all(c.accuracy_half is not None for c in budget.front + budget.reranked)
        assert budget.candidate(budget.finalists[0]).accuracy_full is not None


def test_an_impossible_budget_names_the_smallest_need():
    def never(genes, tier):
        raise AssertionError("evaluated before refusing")

    with pytest.raises(UserError, match=r"budgets\[1\].*needs sram_bytes = 1736, the limit is 1024"):
        go(budgets=(BUDGETS[0], Limits(sram_bytes=1024)), evaluate=never)
    with pytest.raises(UserError, match=f"needs sram_bytes = {1736 + 64 * 64 * 3 + 4 * 32 * 3}, the limit is 1024"):
        go(budgets=(Limits(sram_bytes=1024, count_input_pipeline=True, camera_px=64),), evaluate=never)


def test_every_budget_is_held_on_its_own_board():
    latency = toy_costs(SPACE)(SPACE.min_genes[None], "")["latency_ms"][0] * 0.9
    result = go(budgets=(Limits(latency_ms=latency, board="big"),))  # 4 times as fast: possible on this board only
    assert (result.evaluations.genes[0] == SPACE.min_genes).all() and result.budgets[0].finalists
    with pytest.raises(UserError, match="needs latency_ms"):
        go(budgets=(Limits(latency_ms=latency),))


def test_a_small_space_ends_early():
    space, events = tiny_space(), []
    settings = SearchSettings(population=12, generations=50, rerank=4)
    result = go(space, settings, (Limits(sram_bytes=2750), Limits()), progress=events.append)
    assert len(events) < 6 and events[-1]["evaluations"] == 32 == len(result.evaluations.genes)
    assert events[-1]["budgets"][1]["fitting"] == 32
    assert events[-1]["budgets"][0]["best_accuracy"] <= events[-1]["budgets"][1]["best_accuracy"]


def test_a_saved_state_of_another_search_is_refused(saved_and_result):
    state = json.loads(saved_and_result[0][-1])
    with pytest.raises(UserError, match="another seed"):
        go(resume={**state, "seed": 12})
    for broken, where in (
        ({"rounds": [{"genes": 3}]}, r"rounds\[0\]\.genes = 3"),
        ({"rounds": [{"genes": [[10**30]], "half": [0.5]}]}, r"rounds\[0\]\.genes\[0\]\[0\] = 1"),
        ({"rounds": [{"genes": [[0]], "half": [0.5]}]}, "rounds or tested"),
        ({"tested": {"full": []}}, "tested.int8 is missing"),
        ({"tested": []}, r"tested = \[\]"),
    ):
        with pytest.raises(UserError, match=f"damaged.*{where}"):
            go(resume={**state, **broken})
    with pytest.raises(UserError, match="another settings"):
        go(settings=replace(SETTINGS, metric="f1"), resume=state)


def test_energy_ranks_and_needs_the_board_s_power():
    """It is the time in other units, so the search takes the same way; without a known power there is none."""
    budgets = tuple(Limits(sram_bytes=7000, board=board) for board in ("nano33ble", "stm32l412kb"))
    by_time, by_energy = (
        go(settings=replace(SETTINGS, objectives=("error", name)), budgets=budgets) for name in ("latency", "energy")
    )
    for one, other in zip(by_time.budgets, by_energy.budgets, strict=True):
        assert (one.front, one.reranked, one.finalists) == (other.front, other.reranked, other.finalists)
        assert one.hypervolume == pytest.approx(other.hypervolume)
    unknown = (budgets[0], Limits(board="rp2040"))
    with pytest.raises(UserError, match=r"^budgets\[1\], of which.* power of board rp2040 is not known"):
        go(settings=replace(SETTINGS, objectives=("error", "energy")), budgets=unknown)
    with pytest.raises(UserError, match=r"^budgets\[0\].energy_mj = 3: names no board"):
        go(budgets=(Limits(energy_mj=3.0),))


def test_pareto_json_round_trip(saved_and_result, tmp_path):
    _, result = saved_and_result
    path = tmp_path / "pareto.json"
    path.write_text(json.dumps(pareto_json.to_json(result)))
    again = pareto_json.load(path, SPACE)
    assert again == result and pareto_json.to_json(again) == pareto_json.to_json(result)
    assert archives.winning_data(again) == archives.winning_data(result)


def test_every_measured_accuracy_has_an_interval(saved_and_result):
    """As wide as the images of its tier make it; a pareto.json of before has none and is read alike."""
    result = saved_and_result[1]
    for budget in result.budgets:
        for c in (*budget.front, *budget.reranked):
            measured = {tier: getattr(c, f"accuracy_{tier}") for tier in ("half", "full", "int8")}
            assert set(c.intervals) == {tier for tier, value in measured.items() if value is not None}
            for tier, (low, high) in c.intervals.items():
                assert 0 <= low <= measured[tier] <= high <= 1
        both = [c for c in budget.reranked if 0.3 < c.accuracy_half < 0.7 and 0.3 < c.accuracy_full < 0.7]
        widths = [np.ptp([c.intervals["half"], c.intervals["full"]], axis=1) for c in both or ()]
        assert all(half > full for half, full in widths)
    data = json.loads(json.dumps(pareto_json.to_json(result)))
    for budget in data["budgets"]:
        for c in (*budget["front"], *budget["reranked"]):
            del c["intervals"]
    older = pareto_json.from_json(data, SPACE)
    assert [c.id for c in older.budgets[0].reranked] == [c.id for c in result.budgets[0].reranked]
    assert older.budgets[0].reranked[0].intervals == {}


def damage(data, path, value):
    *parents, last = path
    for key in parents:
        data = data[key]
    if value is KeyError:
        del data[last]
    else:
        data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 2, "schema_version"),
        (["space", "fingerprint"], "0", "made in the space"),
        (["budgets", 0, "front", 0, "id"], "x", r"budgets\[0\]\.front\[0\] \(x\)"),
        (["budgets", 1, "front", 0, "genes", 0], 99, "resolution_px = 99"),
        (["budgets", 1, "front", 0, "genes"], "abc", "genes"),
        (["budgets", 0, "reranked", 0, "accuracy", "half"], 1.5, r"accuracy\.half = 1\.5"),
        (["budgets", 0, "reranked", 0, "accuracy", "int8"], KeyError, r"accuracy: must be .* half, full, int8"),
        (["budgets", 0, "reranked", 0, "costs"], KeyError, r"reranked\[0\]"),
        (["budgets", 0, "reranked", 0, "intervals"], [], r"intervals: must be an object"),
        (["budgets", 0, "reranked", 0, "intervals", "half"], [0.1, "x"], r"intervals\.half: must be two numbers"),
        (["budgets", 0, "reranked", 0, "intervals", "best"], [0.1, 0.2], r"intervals\.best: must be two numbers"),
        (["budgets", 0, "finalists", 0], "nobody", "finalists"),
        (["budgets", 0, "budget", "sram"], 3, "budget"),
        (["budgets"], {}, "budgets"),
        (["metric"], ["auc"], r"metric = \['auc'\]: must be one of accuracy, balanced_accuracy"),
        (["tiers", "half"], {"systems": 3}, r"tiers\.half: must be"),
        (["tiers", "predictor", "kendall_tau"], "high", r"tiers\.predictor: must be an object of numbers"),
        (["extra"], 1, "exactly"),
    ],
)
def test_damaged_pareto_json_is_named(saved_and_result, path, value, message):
    data = json.loads(json.dumps(pareto_json.to_json(saved_and_result[1])))
    damage(data, path, value)
    with pytest.raises(UserError, match=message):
        pareto_json.from_json(data, SPACE)


def test_unreadable_pareto_json(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: cannot be read .*; search again"):
        pareto_json.load(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"schema_version": 1, "sp')
    with pytest.raises(UserError, match=r"half\.json is damaged: .*; search again"):
        pareto_json.load(tmp_path / "half.json")
    with pytest.raises(UserError, match="an object"):
        pareto_json.from_json([], SPACE)


def test_evaluations_csv(saved_and_result):
    result = saved_and_result[1]
    rows = list(csv.DictReader(archives.evaluations_csv(result, SPACE).splitlines()))
    assert len(rows) == len(result.evaluations.genes)
    assert {"latency_ms", "latency_ms@big", "flash_bytes@big", "macs"} <= set(rows[0]) and "macs@big" not in rows[0]
    genes = np.array(rows[5]["genes"].split(), dtype=int)
    assert rows[5]["id"] == SPACE.candidate_id(genes)
    assert int(rows[5]["resolution_px"]) == SPACE.view.resolutions_px[genes[0]]
    for tier in ("full", "int8"):
        measured = {r["id"]: float(r[f"accuracy_{tier}"]) for r in rows if r[f"accuracy_{tier}"]}
        assert measured == {c.id: getattr(c, f"accuracy_{tier}") for b in result.budgets for c in b.reranked}


def test_winning_data_names_the_finalists_configuration(saved_and_result):
    result = saved_and_result[1]
    for row, budget in zip(archives.winning_data(result), result.budgets, strict=True):
        winner = budget.candidate(budget.finalists[0])
        assert row["winner"] == winner.data and row["budget"]["sram_bytes"] == budget.budget.sram_bytes
        assert row["accuracy"][data_text(winner.data)] >= winner.accuracy_half
