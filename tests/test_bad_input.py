"""A short campaign of benchmarks/bad_input.py: damaged files are refused by name or read, quickly, in little memory."""

import csv
import io
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from danas_jax.errors import UserError

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
import bad_input
import bad_input_trial
from bad_input_hypothesis import campaign as by_hypothesis
from bad_input_own import campaign, case
from bad_input_parsers import PARSERS
from bad_input_trial import Parser, Tally, Trial

SEED = 7
CASES = {"wav": 60, "picture": 200, "boards": 60}


def toy(read, valid=b"valid", **more):
    """A parser of toy.txt that reads a valid file."""

    def reads(path):
        content = path.read_bytes()
        if content != valid:
            read(path, content)

    return Parser("toy", (valid,), reads, "toy.txt", **more)


def crashing(path, content):
    raise UserError(f"{path}: refused") if len(content) % 2 else KeyError("a bug")


@pytest.mark.parametrize("name", PARSERS)
def test_only_a_user_error_or_success(tmp_path, name):
    tally = campaign(PARSERS[name](), tmp_path, SEED, 0, CASES.get(name, 100))
    assert tally.failures == []
    assert tally.cases["refused"] > 10 or name == "accuracies"  # which drops the lines that it cannot read


@pytest.mark.parametrize("name", ["table", "archive", "weights"])  # lines, JSON, bytes
def test_structured_cases(tmp_path, name):
    tally = by_hypothesis(PARSERS[name](), tmp_path, SEED, 0, 60, tmp_path / "kept")
    assert tally.failures == []
    assert tally.cases.total() == 60
    assert tally.cases["refused"] > 10


def test_a_case_is_the_same_every_time():
    parser = PARSERS["table"]()
    assert [case(parser, 1, i) for i in range(20)] == [case(parser, 1, i) for i in range(20)]
    assert case(parser, 1, 0) != case(parser, 2, 0)


def test_a_crash_is_counted_and_can_be_repeated(tmp_path):
    tally = campaign(toy(crashing), tmp_path, 3, 5, 40)
    assert tally.cases.total() == 40
    assert 0 < tally.cases["crash"] == len(tally.failures)
    assert tally.failures[0].startswith("toy, seed 3, case ")
    assert "KeyError" in tally.failures[0]


def test_hypothesis_makes_a_failing_file_smaller_the_same_every_time(tmp_path):
    def read(path, content):
        if len(content) > 7:
            raise KeyError("a bug")

    kept = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        tally = by_hypothesis(toy(read), folder, 3, 0, 300, folder / "kept")
        assert 0 < len(tally.failures) < tally.cases["crash"]  # one for each batch, not for each try
        kept.append({file.name: file.read_bytes() for file in (folder / "kept").iterdir()})
    assert kept[0] == kept[1]
    assert sorted(map(len, kept[0].values()))[0] == 8


@pytest.mark.parametrize(
    ("kind", "valid", "message", "told"),
    [
        ("bytes", b"valid", "{path}: broken", True),
        ("bytes", b"valid", "broken", False),
        ("json", b'{"seed": 1}', "{path}: broken", False),
        ("json", b'{"seed": 1}', "seed = 'x': give a number", True),
        ("json", b'{"seed": 1}', "{path}: not JSON (line 1 column 3)", True),
        ("lines", b"key,ms\na,1\n", "{path}: broken", False),
        ("lines", b"key,ms\na,1\n", "{path}, line 2: broken", True),
        ("lines", b"key,ms\na,1\n", "ms = -1", True),
        ("lines", b"sram = 1\n", "{path}: sram is missing", True),
    ],
)
def test_a_refusal_names_a_place(tmp_path, kind, valid, message, told):
    def read(path, content):
        raise UserError(message.format(path=path))

    trial = Trial(toy(read, valid, kind=kind), tmp_path)
    assert trial.run(valid + b" ", "one") == told


def test_too_much_cpu_time_is_a_failure_and_waiting_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(bad_input_trial, "CASE_S", 0.2)

    def read(path, content):
        if content == b"waits":
            time.sleep(0.3)
        else:
            end = time.process_time() + 0.3
            while time.process_time() < end:
                pass

    trial = Trial(toy(read), tmp_path)
    assert trial.run(b"waits", "one")
    assert not trial.run(b"works", "two")
    assert "took 0." in trial.tally.failures[0]


def test_one_that_waits_for_ever_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(bad_input_trial, "HANG_S", 1)
    trial = Trial(toy(lambda path, content: time.sleep(100)), tmp_path)
    assert not trial.run(b"waits", "one")
    assert "Hang at" in trial.tally.failures[0]


def test_a_command_that_ends_with_another_code_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(bad_input_trial, "CLI_EVERY", 1)
    codes = {b"valid": 0, b"refused": 2, b"crashed": 1}

    def main(arguments):
        code = codes[Path(arguments[1]).read_bytes()]
        if code:
            print("danas: some words", file=sys.stderr)
        return code

    monkeypatch.setattr(bad_input_trial.cli, "main", main)
    trial = Trial(toy(lambda path, content: None, command=lambda path: ["toy", str(path)]), tmp_path)
    assert trial.run(b"refused", "one")
    assert not trial.run(b"crashed", "two")
    assert "danas toy ended with 1" in trial.tally.failures[0]


def test_rows_are_gone_on_with(tmp_path, monkeypatch):
    asked, out, failed = [], tmp_path / "rows.csv", []

    def part(engine, name, folder, seed, start, cases, keep):
        asked.append((engine, name, start, cases))
        failing = name == "wav" and not failed
        failed.append(name)
        return Tally(Counter(refused=cases - failing, crash=int(failing)), 0.5, 2**20, ["wav: a bug"] * failing)

    monkeypatch.setattr(bad_input, "part", part)

    def command(*more):
        asked.clear()
        return bad_input.main(["--out", str(out), "--part", "30", *more])

    assert command("--parsers", "wav", "lut", "--cases", "50") == 1
    assert asked == [("own", "wav", 0, 30), ("own", "lut", 0, 30), ("own", "lut", 30, 20)]
    assert command("--parsers", "lut", "--cases", "60") == 0
    assert asked == [("own", "lut", 50, 10)]
    asked_again = ["--parsers", "lut", "wav", "--cases", "60"]
    assert command(*asked_again) == 0  # the one that failed is begun again
    assert command(*asked_again) == 0
    assert asked == []
    assert command("--parsers", "lut", "--cases", "10", "--engine", "hypothesis") == 0
    rows = {(row["parser"], row["engine"]): row for row in csv.DictReader(io.StringIO(out.read_text()))}
    assert set(rows) == {("wav", "own"), ("lut", "own"), ("lut", "hypothesis")}
    assert rows["lut", "own"].items() >= {"cases": "60", "refused": "60", "failed": "0", "growth_mb": "1"}.items()


@pytest.mark.parametrize("engine", ["own", "hypothesis", "atheris"])
def test_a_part_in_a_process_of_its_own(tmp_path, engine):
    pytest.importorskip(engine if engine == "atheris" else "hypothesis", reason="atheris is not installed")
    tally = bad_input.part(engine, "table", tmp_path / "work", 1, 0, 60, tmp_path / "kept")
    assert tally.failures == []
    assert tally.cases.total() == 60
    assert tally.cases["refused"] > 10
    assert not (tmp_path / "kept").exists()


def test_an_engine_that_dies_is_a_failure(tmp_path):
    assert "no parser" not in PARSERS
    tally = bad_input.part("own", "no parser", tmp_path / "work", 1, 0, 60, tmp_path / "kept")
    assert tally.cases["crash"] == 1
    assert tally.failures[0].startswith("no parser: ended with 1")
