"""Readings on a machine whose speed changes, simulated by a clock, and how they are collected."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import pytest

from danas_jax.hardware.lut import Row
from danas_jax.lut.collect import ROUNDS, collect, merged
from danas_jax.lut.timer import FIRST_RUNS, WAIT_S, Reading, Timer, _interruptions


class Machine:
    """A clock that goes on only while inferences run; `slow(now)` is by how much they take longer at `now` [s].

    Other work takes the processor away for 4 ms in the middle of any inference that `disturbed(now, ms)` says.
    """

    def __init__(self, slow=lambda now: 1.0, disturbed=lambda now, ms: False):
        self.now, self.slow, self.disturbed, self.runs, self.interruptions = 0.0, slow, disturbed, 0, 0

    def inference(self, ms):
        def run():
            self.runs += 1
            if self.disturbed(self.now, ms):
                self.interruptions += 1
                self.now += 4e-3
            self.now += 1e-3 * ms * self.slow(self.now)

        return run

    def timer(self, best_ms=math.inf):
        return Timer(self.inference(0.1), best_ms, lambda: self.now, lambda: self.interruptions)


FIRST_S = FIRST_RUNS * 1e-4  # how long the first readings of the reference take at the best pace


def test_a_steady_machine_gives_the_time_itself():
    machine = Machine()
    timer = machine.timer()
    assert timer.best_ms == pytest.approx(0.1)
    assert timer.read(machine.inference(0.7)) == (pytest.approx(0.7), True)


def test_short_and_long_inferences_are_run_a_sensible_number_of_times():
    for ms, runs in ((1e-4, 100), (0.1, 20), (50.0, 3)):
        machine = Machine()
        timer = machine.timer()
        before = machine.runs
        timer.read(machine.inference(ms))
        assert machine.runs - before == 1 + 3 + runs + 3  # a first one, the reference before and after


def test_a_slow_spell_is_waited_for():
    machine = Machine(lambda now: 1.6 if FIRST_S < now < FIRST_S + 0.5 else 1.0)
    timer = machine.timer()
    assert timer.read(machine.inference(0.7)) == (pytest.approx(0.7), True)
    assert machine.now > FIRST_S + 0.5


def test_a_spell_that_does_not_end_is_scaled():
    machine = Machine(lambda now: 1.6 if now > FIRST_S else 1.0)
    timer = machine.timer()
    reading = timer.read(machine.inference(0.7))
    assert reading == (pytest.approx(0.7), False)
    assert WAIT_S < machine.now - FIRST_S < WAIT_S + 0.1


def test_an_inference_longer_than_the_wait_is_read_once():
    machine = Machine(lambda now: 1.6 if now > FIRST_S else 1.0)
    timer = machine.timer()
    assert timer.read(machine.inference(2000.0)) == (pytest.approx(2000.0), False)


def test_the_best_pace_may_be_known_from_before_or_found_later():
    machine = Machine()
    assert machine.timer(best_ms=0.05).read(machine.inference(1.0)) == (pytest.approx(0.5), False)
    machine = Machine(lambda now: 2.0 if now < 2 * FIRST_S else 1.0)
    timer = machine.timer()
    assert timer.best_ms == pytest.approx(0.2)
    timer.read(machine.inference(1.0))
    assert timer.best_ms == pytest.approx(0.1)


def test_an_inference_that_lost_the_processor_does_not_count():
    """The references around it are short and meet nothing, so the pace alone would let it through."""
    machine = Machine(disturbed=lambda now, ms: ms > 1 and now < FIRST_S + 0.5)
    assert machine.timer().read(machine.inference(7.0)) == (pytest.approx(7.0), True)
    assert machine.now > FIRST_S + 0.5
    machine = Machine(disturbed=lambda now, ms: ms > 1 and machine.runs % 3)  # every third one is left alone
    assert machine.timer().read(machine.inference(7.0)) == (pytest.approx(7.0), True)


def test_one_that_always_loses_the_processor_is_an_estimate():
    machine = Machine(disturbed=lambda now, ms: ms > 1)
    assert machine.timer().read(machine.inference(7.0)) == (pytest.approx(11.0), False)
    assert WAIT_S < machine.now - FIRST_S < WAIT_S + 0.1


def test_an_undisturbed_estimate_goes_before_a_disturbed_one():
    # undisturbed only while the machine is slow
    slow = Machine(lambda now: 1.6 if FIRST_S < now < FIRST_S + 0.5 else 1.0)
    slow.disturbed = lambda now, ms: ms > 1 and now > FIRST_S + 0.4
    assert slow.timer().read(slow.inference(7.0)) == (pytest.approx(7.0), False)


def test_interruptions_are_counted_by_the_system():
    """Two busy processes on one processor take turns, and each turn is an interruption."""
    allowed = os.sched_getaffinity(0)
    one = min(allowed)
    os.sched_setaffinity(0, {one})  # the other process inherits it
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before, until = _interruptions(), time.monotonic() + 20
        while _interruptions() == before and time.monotonic() < until:
            pass
        assert _interruptions() > before
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, allowed)


def test_the_least_steady_reading_counts():
    row = merged(None, Reading(2.0, False))
    assert row == Row(2.0, 0)
    assert merged(row, Reading(5.0, False)) == row
    assert merged(row, Reading(1.5, False)) == Row(1.5, 0)
    row = merged(row, Reading(3.0, True))
    assert row == Row(3.0, 1)
    assert merged(row, Reading(1.0, False)) == row
    row = merged(merged(row, Reading(2.0, True)), Reading(4.0, True))
    assert row == Row(2.0, 3, 1.0)


class Host:
    """Starts "files" (the layers are their milliseconds) on a Machine."""

    def __init__(self, machine):
        self.machine, self.started = machine, []

    def start(self, ms):
        self.started.append(ms)
        return self.machine.inference(ms)


@pytest.fixture(autouse=True)
def files_are_their_times(monkeypatch):
    monkeypatch.setattr("danas_jax.lut.collect.tflite", lambda layers: layers)


def run(machine, cases, rows, pace_ms=math.inf, best_ms=math.inf, until=math.inf):
    saved = []
    host = Host(machine)
    done = collect(cases, rows, machine.timer(best_ms), host, pace_ms, until, lambda: saved.append(dict(rows)))
    return done, host.started, saved


def test_files_are_timed_in_rounds_and_saved():
    rows = {}
    done, started, saved = run(Machine(), {"a": 1.0, "b": 2.0}, rows)
    assert done
    assert started == [1.0, 2.0] * ROUNDS
    assert saved[-1] == rows == {"a": Row(pytest.approx(1.0), ROUNDS, 0.0), "b": Row(pytest.approx(2.0), ROUNDS, 0.0)}


def test_what_is_known_is_not_timed_again():
    rows = {"a": Row(1.0, ROUNDS), "b": Row(2.0, ROUNDS - 1), "other": Row(5.0, 0)}
    assert run(Machine(), {"a": 1.0, "b": 2.0}, rows, pace_ms=0.1, best_ms=0.1)[1] == [2.0]
    assert rows["other"] == Row(5.0, 0)


def test_readings_of_a_slower_machine_are_taken_again():
    rows = {"a": Row(3.0, ROUNDS), "b": Row(6.0, ROUNDS)}
    cases = {"new": 0.5, "a": 1.0, "b": 2.0}
    run(Machine(), cases, rows, pace_ms=0.3, best_ms=0.3)
    assert {case: row.ms for case, row in rows.items()} == {case: pytest.approx(ms) for case, ms in cases.items()}


def test_time_that_is_up_and_an_interrupt_keep_what_is_there():
    rows = {}
    assert run(Machine(), {"a": 1.0}, rows, until=time.monotonic() - 1)[0] is False
    assert rows == {}
    machine, saved = Machine(), []

    def stopped():
        raise KeyboardInterrupt

    host = Host(machine)
    host.start = lambda ms: machine.inference(ms) if ms == 1.0 else stopped
    with pytest.raises(KeyboardInterrupt):
        collect({"a": 1.0, "b": 2.0}, rows, machine.timer(), host, math.inf, math.inf, lambda: saved.append(dict(rows)))
    assert saved == [{"a": Row(pytest.approx(1.0), 1)}]
