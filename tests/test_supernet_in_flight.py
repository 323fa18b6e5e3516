"""Several programs at a time: the order stays, and what fails stops the rest."""

import threading
import time

import pytest

from danas_jax.supernet.in_flight import go_on, in_flight, programs_in_flight


def test_answers_come_in_order_and_run_at_the_same_time():
    together = threading.Barrier(programs_in_flight(), timeout=10)

    def run(item):
        together.wait()  # passes only where as many run at a time
        time.sleep(0.02 * (item % 2))
        return item

    items = list(range(4 * programs_in_flight()))
    assert programs_in_flight() > 1
    assert list(in_flight(run, items)) == items


def test_a_failure_stops_what_has_not_begun():
    begun = []

    def run(item):
        begun.append(item)
        time.sleep(0.02)
        if item == 0:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(in_flight(run, range(1000)))
    assert len(begun) < 20


def test_whoever_stops_listening_stops_the_work():
    begun = []
    answers = in_flight(lambda item: begun.append(item) or time.sleep(0.01), range(1000))
    next(answers)
    answers.close()
    assert len(begun) < 20


def test_long_work_ends_when_another_fails_and_the_failure_is_what_is_raised():
    steps = []

    def run(item):
        if item == 1:
            raise ValueError("no")
        for _ in range(1000):
            go_on()
            steps.append(item)
            time.sleep(0.005)

    with pytest.raises(ValueError, match="no"):
        list(in_flight(run, range(3)))
    assert len(steps) < 200


def test_long_work_ends_when_the_user_stops_it():
    steps = []

    def run(item):
        if item == 0:
            return
        for _ in range(1000):
            go_on()
            steps.append(item)
            time.sleep(0.005)

    answers = in_flight(run, range(3))
    next(answers)
    answers.close()
    assert 0 < len(steps) < 200


def test_work_that_is_not_in_flight_goes_on():
    go_on()


def test_each_item_has_a_device_and_each_device_its_share(monkeypatch):
    import contextlib

    import jax

    devices, used, now = ["a", "b", "c", "d"], [], threading.local()

    @contextlib.contextmanager
    def own(device):
        now.device = device
        yield

    monkeypatch.setattr(jax, "default_device", own)
    together = threading.Barrier(len(devices), timeout=10)

    def run(item):
        together.wait()  # four at a time, though a CPU takes three by itself
        used.append(now.device)
        return item

    assert list(in_flight(run, range(8), devices=devices)) == list(range(8))
    assert sorted(used[:4]) == sorted(used[4:]) == devices
