"""Finalists that validation cannot tell apart: pairs, intervals, and what is said of them."""

import numpy as np
import pytest

from danas_jax.deploy.answers import Answers
from danas_jax.deploy.told_apart import pairs
from danas_jax.report import table
from danas_jax.report.files import RunFiles
from danas_jax.report.sections import finalists

LABELS = np.tile([0, 1], 100)


def answers(wrong):
    """200 answers of which the rows of `wrong` are wrong."""
    logits = np.eye(2)[LABELS]
    logits[list(wrong)] = 1 - logits[list(wrong)]
    return Answers(logits, LABELS, tuple(map(str, range(200))))


def entry(name, kilobytes, sram_kilobytes, wrong=(), kind="candidate"):
    budget = {"sram_bytes": sram_kilobytes * 1024, "flash_bytes": None}
    return {
        "id": name,
        "name": name,
        "kind": kind,
        "budget": None if kind == "baseline" else budget,
        "predicted": {"arena_device_bytes": kilobytes * 1024},
        "figures": {"int8_validation": {"accuracy": 1 - len(wrong) / 200}},
    }


WRONG = {"a": range(60), "b": range(2, 60), "c": range(20), "fixed": range(90)}
ENTRIES = [
    entry("b", 60, 64, WRONG["b"]), entry("c", 100, 128, WRONG["c"]), entry("a", 20, 64, WRONG["a"]),
    entry("b", 60, 96, WRONG["b"]), entry("fixed", 1, 0, WRONG["fixed"], "baseline"),
]  # fmt: skip
KEPT = {name: {"int8_validation": answers(wrong), "int8_test": answers(range(60))} for name, wrong in WRONG.items()}


def test_neighbours_by_arena_are_compared_once():
    found = pairs(ENTRIES, KEPT, "accuracy", 0)
    assert [(pair["smaller"], pair["larger"], pair["arena_saved_bytes"]) for pair in found] == [
        ("a", "b", 40 * 1024), ("b", "c", 40 * 1024),
    ]  # fmt: skip
    close, far = (pair["validation"] for pair in found)
    assert close["difference"] == pytest.approx(0.01) and close["interval"][0] == 0 <= close["interval"][1]
    assert far["difference"] == pytest.approx(0.19) and 0.1 < far["interval"][0] < 0.19 < far["interval"][1]
    assert all(pair["test"] == {"difference": 0.0, "interval": [0.0, 0.0]} for pair in found)


def test_all_of_one_budget_are_compared():
    mine = [entry("a", 20, 64), entry("c", 100, 64), entry("b", 60, 32)]
    named = [(pair["smaller"], pair["larger"]) for pair in pairs(mine, KEPT, "accuracy", 0)]
    assert named == [("a", "b"), ("a", "c"), ("b", "c")]


def test_validation_decides_by_the_metric_of_the_search():
    found = pairs(ENTRIES, KEPT, "auc", 0)
    assert found[1]["validation"]["difference"] == pytest.approx(0.19)  # of two answers each, the mean recall
    one_class = {"a": {"int8_validation": Answers(np.eye(2)[[0, 0]], np.array([0, 0]), ("x", "y"))}}
    one_class = {name: {**one_class["a"], "int8_test": one_class["a"]["int8_validation"]} for name in "ab"}
    assert pairs(ENTRIES[::2], one_class, "auc", 0)[0]["validation"] is None


def summary():
    return {"name": "run", "finalists": ENTRIES, "pairs": pairs(ENTRIES, KEPT, "accuracy", 0)}


def test_an_open_question_is_a_warning_in_plain_words(capsys):
    (line,) = table.pair_lines(summary())
    assert line.startswith("a (64 kB SRAM) and b (64 kB SRAM; 96 kB SRAM): accuracy 0.700 and 0.710 on validation, ")
    assert "difference +1.0 [+0.0, +2.5] points: cannot be told apart; the smaller one takes 40.0 kB less arena" in line
    assert line.endswith("(on test, which chooses nothing: +0.0 [+0.0, +0.0])")
    table.print_table(summary())
    shown = capsys.readouterr().out
    assert f"warning: {line[:40]}" in shown
    assert "and c (128 kB SRAM)" not in shown


def test_the_report_has_every_pair():
    (bullets,) = [b.items for b in finalists.section(RunFiles("x", summary=summary())).blocks if hasattr(b, "items")]
    assert len(bullets) == 2
    assert "the larger one is better" in bullets[1]


@pytest.mark.parametrize(
    ("difference", "verdict"), [((0.1, [0.05, 0.2]), "larger"), ((-0.1, [-0.2, -0.05]), "smaller")]
)
def test_what_is_told_apart_is_no_warning(difference, verdict):
    gain = {"difference": difference[0], "interval": difference[1]}
    one = {"smaller": "a", "larger": "b", "arena_saved_bytes": 1024, "validation": gain, "test": None}
    found = {"finalists": ENTRIES, "pairs": [one]}
    assert table.pair_lines(found) == []
    assert table.all_pair_lines(found)[0].endswith(f"the {verdict} one is better")


def test_nothing_saved_is_said():
    gain = {"difference": 0.0, "interval": [0.0, 0.0]}
    one = {"smaller": "a", "larger": "b", "arena_saved_bytes": 16, "validation": gain, "test": None}
    (line,) = table.pair_lines({"finalists": ENTRIES, "pairs": [one]})
    assert line.endswith("cannot be told apart; their arenas are equal")


def test_an_older_summary_has_no_pairs():
    assert table.all_pair_lines({"finalists": ENTRIES}) == []
