"""The time of a phase over several sessions: what an earlier one had recorded counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from danas_jax import pipeline, run
from danas_jax.config import Config, DataSettings
from danas_jax.data.dataset import open_data
from danas_jax.phases import state as module
from danas_jax.phases.state import Run
from danas_jax.records import spent_s
from danas_jax.spaces import quickstart


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `clock.now` moves."""
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now, time=lambda: clock.now + 10**9)
    for place in (pipeline, module):
        monkeypatch.setattr(place, "time", clock)
    return clock


def test_the_sessions_of_a_phase_add_up(clock, monkeypatch, tmp_path):
    data = DataSettings(train_images=40, validation_images=4, test_images=4)
    config = Config(name="timed", space=quickstart(), data=data)
    state = Run(config, tmp_path, open_data(data, 32, 0), (np.zeros(1), np.zeros(1)), {}, lambda record: None)

    def session(phase, until_record_s, after_it_s, killed=False):
        def work(here):
            clock.now += until_record_s
            here.record(phase)({"step": 1})
            clock.now += after_it_s
            if killed:
                raise KeyboardInterrupt
            return {}

        monkeypatch.setattr(pipeline, f"{phase}_phase", work)
        pipeline._each_phase(state, (phase,))

    for killed_after_s in (20.0, 5.0):
        with pytest.raises(KeyboardInterrupt):
            session("train", 30.0, killed_after_s, killed=True)
        clock.now -= 50.0  # another process: its clock has another zero
    session("train", 1.0, 2.5)
    session("search", 4.0, 1.0)
    assert [record["phase_time_s"] for record in run.read_metrics(tmp_path)] == [30.0, 60.0, 61.0, 4.0]
    assert run.phase_payload(tmp_path, "train")["time_s"] == 63.5
    assert run.phase_payload(tmp_path, "search")["time_s"] == 5.0


def test_only_times_are_read_from_records():
    times = [3.5, None, "9", True, float("nan"), float("inf"), -1.0, 10**400]
    assert spent_s([{"phase": "train", "phase_time_s": time} for time in times], "train") == 3.5
    assert spent_s([{"phase": "train", "phase_time_s": 3.5}, {"phase": "search"}], "search") == 0.0
