"""A short campaign of benchmarks/bad_input.py: damaged files are refused by name or read, quickly, in little memory."""

import sys
from pathlib import Path

import pytest

from danas_jax.errors import UserError

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
import bad_input
from bad_input_parsers import PARSERS, Parser

SEED = 7
CASES = {"wav": 60, "picture": 200, "npz": 120, "tflite": 120, "boards": 60, "manifest": 100, "config": 100}


@pytest.mark.parametrize("name", PARSERS)
def test_only_a_user_error_or_success(tmp_path, monkeypatch, name):
    monkeypatch.setattr(bad_input, "CASE_S", 60.0)  # other tests may hold the cores
    tally = bad_input.campaign(PARSERS[name](), tmp_path, SEED, 0, CASES.get(name, 200))
    assert tally.failures == []
    assert tally.cases["refused"] > 10


def test_a_case_is_the_same_every_time():
    parser = PARSERS["table"]()
    assert [bad_input.case(parser, 1, i) for i in range(20)] == [bad_input.case(parser, 1, i) for i in range(20)]
    assert bad_input.case(parser, 1, 0) != bad_input.case(parser, 2, 0)


def test_a_crash_is_counted_and_can_be_repeated(tmp_path):
    def read(path):
        text = path.read_text(errors="replace")
        if text == "valid":
            return
        raise UserError("refused") if len(text) % 2 else KeyError("a bug")

    tally = bad_input.campaign(Parser("toy", (b"valid",), read, "toy.txt"), tmp_path, 3, 5, 40)
    assert tally.cases.total() == 40
    assert 0 < tally.cases["crash"] == len(tally.failures)
    assert tally.failures[0].startswith("toy, seed 3, case ")
    assert "KeyError" in tally.failures[0]


def test_cases_guided_by_coverage(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed")
    tally = bad_input.guided("table", tmp_path / "work", 1, 60, tmp_path / "kept")
    assert tally.failures == []
    assert tally.cases.total() == 60
    assert tally.cases["refused"] > 10
    assert not (tmp_path / "kept").exists()


def test_an_engine_that_dies_is_a_failure(tmp_path):
    assert "no parser" not in PARSERS
    tally = bad_input.guided("no parser", tmp_path / "work", 1, 60, tmp_path / "kept")
    assert tally.cases["crash"] == 1
    assert tally.failures[0].startswith("no parser: ended with 1")
