"""Saving while training goes on: what is written, who waits for it, and where its failure is told."""

import errno
import gc
import itertools
import logging
import sys
import threading

import jax
import ml_dtypes
import numpy as np
import pytest
from supernet_toys import SPACE, assert_same_trees, easy_split

from danas_jax.config import RetrainSettings
from danas_jax.deploy.epochs import fit
from danas_jax.errors import UserError
from danas_jax.supernet.checkpoint import Checkpoints

STATE = {"a": np.arange(6.0), "step": np.asarray(1)}


class Held(Checkpoints):
    """Writes only when `go` is set."""

    def __init__(self, folder):
        super().__init__(folder)
        self.go = threading.Event()

    def _write(self, step, state):
        assert self.go.wait(30)
        super()._write(step, state)


class Full(Checkpoints):
    """On a disk that is full from step 2 on."""

    def _write(self, step, state):
        if step > 1:
            self._manager.save = full
        super()._write(step, state)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def training(kind, folder, *steps, ends=lambda saved: None):
    """Saves at `steps`, and then whatever ends it."""
    with kind(folder) as saved:
        for step in steps:
            saved.save(step, {**STATE, "step": np.asarray(step)})
        ends(saved)


def interrupted(saved):
    if isinstance(saved, Held):
        threading.Timer(0.2, saved.go.set).start()
    raise KeyboardInterrupt


def kept(folder):
    return sorted(path.name for path in folder.iterdir())


def test_save_does_not_wait_and_holds_the_state_of_its_call(tmp_path):
    with Held(tmp_path) as saved:
        state = {"a": np.arange(6.0), "step": np.asarray(1)}
        saved.save(1, state)
        state["a"][:] = -1  # what a donated buffer would become
        assert kept(tmp_path) == []
        saved.go.set()
        np.testing.assert_array_equal(saved.restore(STATE)["a"], STATE["a"])


MANY = {
    "params": {
        f"layer{i}": {"kernel": np.full((3, i), i, np.float32), "bias": np.zeros(i, np.float32)} for i in range(20)
    },
    "average": (np.asarray(0.5, ml_dtypes.bfloat16), np.array([[True], [False]]), np.zeros((0, 3))),
    "step": np.asarray(7),
}


def test_a_state_is_read_back_bit_for_bit_with_its_types(tmp_path):
    with Checkpoints(tmp_path) as saved:
        saved.save(1, MANY)
        found = saved.restore(jax.tree.map(np.zeros_like, MANY))
    assert_same_trees(found, MANY)
    for leaf, right in zip(jax.tree.leaves(found), jax.tree.leaves(MANY), strict=True):
        assert (leaf.dtype, leaf.shape, leaf.flags.writeable) == (right.dtype, right.shape, True)


@pytest.mark.parametrize(
    "other",
    [
        {"b": STATE["a"], "step": STATE["step"]},
        {"a": STATE["a"].reshape(2, 3), "step": STATE["step"]},
        {"a": STATE["a"].astype(np.int64), "step": STATE["step"]},
        {"a": np.arange(7.0), "step": STATE["step"]},
    ],
)
def test_a_state_of_another_structure_is_not_taken(tmp_path, caplog, other):
    training(Checkpoints, tmp_path, 1)
    with Checkpoints(tmp_path) as saved:
        assert saved.restore(other) is None
    assert "step 1 is damaged, or another version wrote it" in caplog.text


def test_saving_and_restoring_many_arrays_leaves_little_behind(tmp_path):
    """Tensorstore keeps its description of every array that it is given: of 40, 160 blocks a save, 4,000 a restore."""

    def kept_by(work, times=10):
        work(), work()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(times):
            work()
        gc.collect()
        return (sys.getallocatedblocks() - before) / times

    with Checkpoints(tmp_path) as saved:
        steps = itertools.count(1)

        def save():
            saved.save(next(steps), MANY)
            saved.wait()

        assert kept_by(save) < 100
        assert kept_by(lambda: saved.restore(MANY)) < 400


def test_what_ends_a_training_waits_for_the_save(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training(Held, tmp_path, 1, ends=interrupted)
    assert kept(tmp_path) == ["1"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("checkpoints")]


def test_one_save_at_a_time_and_the_last_two_are_kept(tmp_path):
    training(Checkpoints, tmp_path, 1, 2, 3, 4, 5)
    assert kept(tmp_path) == ["4", "5"]
    with Checkpoints(tmp_path) as saved:
        assert saved.restore(STATE)["step"] == 5


def test_a_failed_save_is_told_by_the_next_one(tmp_path):
    def not_reached(saved):
        pytest.fail("the third save should have raised")

    with pytest.raises(UserError, match=r"disk full: cannot write .*, the same command resumes"):
        training(Full, tmp_path, 1, 2, 3, ends=not_reached)
    assert kept(tmp_path) == ["1"]


def test_the_last_save_s_failure_is_told_at_the_end(tmp_path):
    with pytest.raises(UserError, match="disk full"):
        training(Full, tmp_path, 2)


def test_a_failed_save_does_not_hide_why_a_training_ended(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "danas_jax"), pytest.raises(KeyboardInterrupt):
        training(Full, tmp_path, 2, ends=interrupted)
    assert "the last checkpoint was not written: disk full" in caplog.text


def test_the_best_epoch_survives_the_loss_of_the_newest_checkpoint(tmp_path, caplog):
    """Every checkpoint holds it, so any that is left will do."""
    pictures = easy_split(16)
    source = SPACE.input(SPACE.min_genes)
    start = {"dense": {"kernel": np.full((1, 2), 0.1, np.float32), "bias": np.zeros(2, np.float32)}}
    settings = RetrainSettings(epochs=4, batch_size=8, learning_rate=0.1)
    judged = []

    def judge(params):
        judged.append(np.asarray(params["dense"]["kernel"]))
        figure = 1.0 / len(judged)  # the first epoch is the best one
        return figure, figure

    def logits_of(params, views):
        return views.mean((1, 2, 3))[:, None] / 255 @ params["dense"]["kernel"] + params["dense"]["bias"]

    def trained():
        with Checkpoints(tmp_path) as saved:
            return fit(logits_of, judge, start, source, settings, pictures, 2, 0, saved, lambda record: None, str)[0]

    np.testing.assert_array_equal(trained()["dense"]["kernel"], judged[0])
    assert not np.array_equal(judged[0], judged[3])
    for path in [path for path in (tmp_path / "4").rglob("*") if path.is_file()]:
        path.write_bytes(b"")
    np.testing.assert_array_equal(trained()["dense"]["kernel"], judged[0])
    assert "step 4 is damaged" in caplog.text
    assert len(judged) == 5  # the fourth epoch once more
