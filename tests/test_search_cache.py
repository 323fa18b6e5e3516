"""The accuracy cache: nothing is measured twice, nothing taken from another supernet, torn lines dropped."""

import json

import numpy as np
import pytest

from danas_jax.errors import UserError
from danas_jax.search.cache import AccuracyCache

GENES = np.array([[0, 1], [1, 1], [2, 0]])


def measured(calls):
    def evaluate(genes, tier):
        calls.append((tier, genes.tolist()))
        return genes.sum(axis=1) / 10 + (0.01 if tier == "full" else 0)

    return evaluate


def test_only_the_unknown_is_measured(tmp_path):
    calls, known = [], []
    first = AccuracyCache(tmp_path / "a/accuracies.jsonl", "k").over(measured(calls))
    assert first(GENES[:2], "half").tolist() == [0.1, 0.2]
    again = AccuracyCache(tmp_path / "a/accuracies.jsonl", "k").over(measured(calls), known.append)
    assert again(GENES[[2, 0, 1]], "half").tolist() == [0.2, 0.1, 0.2]
    assert again(GENES[:1], "full").tolist() == [0.11]
    assert again(GENES, "half").tolist() == [0.1, 0.2, 0.2]
    assert calls == [("half", [[0, 1], [1, 1]]), ("half", [[2, 0]]), ("full", [[0, 1]])]
    assert known == [2, 0, 3]


def test_another_key_starts_anew(tmp_path):
    calls = []
    AccuracyCache(tmp_path / "c", "one").over(measured(calls))(GENES, "half")
    other = AccuracyCache(tmp_path / "c", "two")
    assert len(other) == 0
    other.over(measured(calls))(GENES, "half")
    assert len(calls) == 2
    assert len(AccuracyCache(tmp_path / "c", "two")) == 3


def test_a_failed_measurement_is_not_kept(tmp_path):
    calls = []

    def failing(genes, tier):
        calls.append(len(genes))
        return np.where(np.arange(len(genes)) == 0, np.nan, 0.5)

    evaluate = AccuracyCache(tmp_path / "c", "k").over(failing)
    assert np.isnan(evaluate(GENES, "half")[0])
    assert np.isnan(evaluate(GENES, "half")[0])
    assert calls == [3, 1]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_file_loses_at_most_what_was_torn(tmp_path, cut):
    path, calls = tmp_path / "c", []
    AccuracyCache(path, "k").over(measured(calls))(GENES, "half")
    text = path.read_bytes()
    path.write_bytes(text[:-cut])
    cache = AccuracyCache(path, "k")
    assert len(cache) < 3 or cut == 1
    assert cache.over(measured(calls))(GENES, "half").tolist() == [0.1, 0.2, 0.2]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(AccuracyCache(path, "k")) == 3


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="accuracies"):
        AccuracyCache(tmp_path / "file" / "accuracies", "k")
