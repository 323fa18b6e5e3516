"""The selection rule on hand-made cases."""

import numpy as np

from danas_jax.search.finalists import choose, to_rerank


def chosen(accuracy, arena, macs, images=100, margin=1.0, count=1):
    return choose(np.array(accuracy), np.array(arena), np.array(macs), images, margin, count).tolist()


def test_within_one_standard_error_the_smaller_arena_wins():
    # standard error of 0.9 on 100 images is 0.03
    assert chosen([0.90, 0.88, 0.86], [300, 200, 100], [1, 1, 1]) == [1]
    assert chosen([0.90, 0.88, 0.87], [300, 200, 100], [1, 1, 1]) == [2]  # exactly one error below counts
    assert chosen([0.90, 0.88, 0.86], [300, 200, 100], [1, 1, 1], images=10_000) == [0]


def test_the_margin_is_in_standard_errors_and_without_one_the_best_wins():
    assert chosen([0.90, 0.899, 0.86], [300, 200, 100], [1, 1, 1], margin=0.0) == [0]
    assert chosen([0.90, 0.90, 0.86], [300, 200, 100], [1, 1, 1], margin=0.0) == [1]
    assert chosen([0.90, 0.88, 0.84], [300, 200, 100], [1, 1, 1], margin=2.0) == [2]
    accuracy, arena = np.array([0.90, 0.895, 0.89, 0.88]), np.array([900, 800, 700, 600])
    assert to_rerank(accuracy, arena, np.ones(4), 100, 0.0, 2).tolist() == [0, 1]
    assert to_rerank(accuracy, arena, np.ones(4), 100, 1.0, 2).tolist() == [0, 3]


def test_then_fewer_macs_then_accuracy():
    assert chosen([0.90, 0.89, 0.88], [100, 100, 100], [3, 1, 2]) == [1]
    assert chosen([0.89, 0.90, 0.89], [100, 100, 100], [1, 1, 1]) == [1]


def test_several_finalists_apply_the_rule_again():
    assert chosen([0.90, 0.88, 0.86, 0.5], [300, 200, 100, 1], [1] * 4, count=3) == [1, 0, 2]
    assert chosen([0.90], [1], [1], count=3) == [0]


def test_nan_and_nothing():
    assert chosen([np.nan, 0.2], [1, 2], [1, 1]) == [1]
    assert chosen([], [], []) == []
    assert to_rerank(np.array([np.nan]), np.array([1]), np.array([1]), 100, 1.0, 4).tolist() == []


def test_rerank_takes_the_best_and_the_cheap_close_ones():
    accuracy = np.array([0.90, 0.895, 0.89, 0.88, 0.875, 0.60, np.nan])
    arena = np.array([900, 800, 700, 600, 500, 100, 1])
    macs = np.ones(7)
    assert to_rerank(accuracy, arena, macs, 100, 1.0, 4).tolist() == [0, 1, 4, 3]
    assert to_rerank(accuracy, arena, macs, 100, 1.0, 1).tolist() == [0]
    # nothing else is close: the places go to the next best accuracies
    assert to_rerank(accuracy, arena, macs, 1e9, 1.0, 4).tolist() == [0, 1, 2, 3]
    assert sorted(to_rerank(accuracy, arena, macs, 100, 1.0, 40).tolist()) == [0, 1, 2, 3, 4, 5]
