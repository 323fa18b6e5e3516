"""The command line: flags, budgets, help, exit codes, signals. The phases themselves are replaced by stand-ins."""

import dataclasses
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from danas_jax import cli, config_io, overrides
from danas_jax.config import Config, Limits
from danas_jax.config_checks import validate
from danas_jax.errors import Interrupted, UserError
from danas_jax.hardware.boards import board, limits_of
from danas_jax.views.image import ImageView

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def phases(monkeypatch, tmp_path):
    """Stand-in for the pipeline: records its calls, or raises what `.error` holds; in an empty folder."""
    seen = types.SimpleNamespace(calls=[], error=None)

    def run_phases(config, names, run_dir, hosts):
        seen.calls.append((config, names, run_dir))
        if seen.error is not None:
            raise seen.error

    module = types.ModuleType("danas_jax.pipeline")
    module.run_phases = run_phases
    monkeypatch.setitem(sys.modules, "danas_jax.pipeline", module)
    monkeypatch.setattr(sys.modules["danas_jax"], "pipeline", module, raising=False)
    monkeypatch.chdir(tmp_path)
    return seen


def parse(*flags, config=None):
    return overrides.parse_flags(config or config_io.load_config("quickstart"), list(flags), "danas run quickstart")


def test_flags_override_fields_and_leave_the_rest():
    before = config_io.load_config("quickstart")
    after = parse(
        "--seed", "3", "--search.population", "128", "--space.resolutions-px", "48", "64", "--run-dir", "runs/x"
    )
    assert after == dataclasses.replace(
        before,
        seed=3,
        run_dir="runs/x",
        search=dataclasses.replace(before.search, population=128),
        space=dataclasses.replace(before.space, view=dataclasses.replace(before.space.view, resolutions_px=(48, 64))),
    )
    assert type(after) is Config
    assert type(after.space) is type(before.space)


def test_data_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse("--data.path", "photos").data.path == str(tmp_path / "photos")


def test_limits_make_one_budget_each_and_broadcast():
    found = parse("--limits.sram-bytes", "1000", "2000", "3000", "--limits.flash-bytes", "9000").budgets
    assert found == tuple(Limits(sram_bytes=s, flash_bytes=9000) for s in (1000, 2000, 3000))


def test_boards_make_budgets_and_limits_go_on_top():
    names = ("nano33ble", "stm32f746")
    flags = [text for name in names for text in ("--board", name)]
    assert parse(*flags).budgets == tuple(limits_of(board(name)) for name in names)
    tightened = parse(*flags, "--limits.latency-ms", "50").budgets
    assert tightened == tuple(dataclasses.replace(limits_of(board(name)), latency_ms=50.0) for name in names)


def test_without_budget_flags_the_configs_budgets_stay():
    assert parse("--seed", "1").budgets == config_io.load_config("quickstart").budgets


def test_budget_counts_must_match():
    with pytest.raises(UserError, match=r"sram-bytes has 2.*macs has 3"):
        parse("--limits.sram-bytes", "1", "2", "--limits.macs", "1", "2", "3")


@pytest.mark.parametrize("name", sorted(config_io.shipped_configs()))
def test_smoke_is_valid_idempotent_and_yields_to_flags(name):
    config = config_io.load_config(name)
    if config.data.source != "synthetic" and not config.data.path:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path="/pictures"))
    small = overrides.smoke(config)
    validate(small)
    assert overrides.smoke(small) == small
    assert small.name == f"{name}-smoke"
    assert small.train.epochs == small.retrain.epochs == 1
    both = parse("--search.population", "9", "--smoke", config=config)
    assert both == dataclasses.replace(small, search=dataclasses.replace(small.search, population=9))


def all_fields(cls, prefix=""):
    hints = {f.name: f for f in dataclasses.fields(cls)}
    for name in hints:
        if f"{prefix}{name}" in ("budgets", "boards", "latency_tables", "baselines", "space.stages", "train.stages"):
            continue
        kind = {"data": "DataSettings", "space": "SearchSpace"}.get(name, f"{name.capitalize()}Settings")
        nested = getattr(sys.modules["danas_jax.config"], kind, None) if not prefix else None
        if f"{prefix}{name}" == "space.view":
            yield from (f"space.{f.name}" for f in dataclasses.fields(ImageView))
        elif nested is not None and dataclasses.is_dataclass(nested):
            yield from all_fields(nested, f"{name}.")
        else:
            yield f"{prefix}{name}"


def test_help_lists_every_field_with_default_and_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "quickstart", "--help"])
    assert caught.value.code == 0
    text = re.sub(r"[^\S\n]+", " ", re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out))
    options = dict(re.findall(r"^ *--([a-z0-9.-]+)[^\n]*\n((?:(?! *--)[^\n]*\n)*)", text, flags=re.M))
    fields = [name.replace("_", "-") for name in all_fields(Config)]
    assert len(fields) > 50
    for name in [*fields, "limits.sram-bytes", "board", "reserved-sram-bytes", "lut", "smoke", "debug"]:
        assert name in options, name
        described = " ".join(options[name].split())
        assert re.match(r"[^(].*\((default:|repeatable)", described), f"{name}: {described!r}"
    assert "[px]" in options["space.resolutions-px"]


@pytest.mark.parametrize("command", ["run", *cli.PHASES])
def test_commands_call_their_phases(phases, command):
    assert cli.main([command, "quickstart", "--seed", "4"]) == 0
    ((config, names, folder),) = phases.calls
    assert names == (cli.PHASES if command == "run" else (command,))
    assert config.seed == 4
    assert folder == Path("runs/quickstart")
    assert json.loads((folder / "config.json").read_text())["seed"] == 4


def test_a_runs_folder_is_a_config(phases, tmp_path):
    assert cli.main(["run", "quickstart", "--run-dir", "here"]) == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert cli.main(["report", "there"]) == 0
    assert phases.calls[1][2] == Path("there")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("no pictures"), 2, "danas: no pictures\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "disk full"),
        (Interrupted(), 3, "danas: interrupted; the same command resumes\n"),
        (KeyboardInterrupt(), 3, "interrupted"),
        (KeyError("x"), 1, "danas: a bug: KeyError: 'x' (--debug shows the traceback)\n"),
    ],
)
def test_exit_codes(phases, capsys, error, code, message):
    phases.error = error
    assert cli.main(["run", "quickstart"]) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert cli.main(["run", "quickstart", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "give the CONFIG first"),
        (["run", "--seed", "3", "quickstart"], "give the CONFIG first"),
        (["run", "quikstart"], "Did you mean quickstart"),
        (["runn", "quickstart"], "did you mean run"),
        (["run", "quickstart", "--seed", "-1"], "seed = -1: give 0 or more"),
        (["run", "person_photos"], "name what source folder reads"),
        (["run", "quickstart", "--board", "nano33bl"], "nano33ble"),
        (["run", "quickstart", "--train.learning-rate", "inf"], "train.learning_rate = inf"),
        (["run", "quickstart", "--space.resolutions-px", "64", "32"], "ascending"),
    ],
)
def test_bad_input_is_2_and_says_what_is_right(phases, capsys, arguments, message):
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err
    assert phases.calls == []


@pytest.mark.parametrize("flags", [["--sed", "3"], ["--seed", "x"], ["--data.source", "web"]])
def test_flags_that_do_not_parse_are_2(phases, flags):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "quickstart", *flags])
    assert caught.value.code == 2
    assert phases.calls == []


def test_another_config_is_refused_with_the_fields(phases, capsys, tmp_path):
    assert cli.main(["run", "quickstart"]) == 0
    (tmp_path / "runs/quickstart/metrics.jsonl").touch()
    assert cli.main(["run", "quickstart", "--seed", "8"]) == 2
    assert "seed: was 0, is 8" in capsys.readouterr().err


def test_help_is_fast_and_needs_no_jax():
    code = "import sys; from danas_jax.cli import main; main(['--help']); assert 'jax' not in sys.modules; sys.exit(0)"
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
    assert "danas predict" in done.stdout
    assert min(times) < 1.0  # 0.25 s alone on the machine that wrote this


SLEEPER = """
import gc, sys, time, types
from danas_jax import cli
module = types.ModuleType("danas_jax.pipeline")
def run_phases(config, phases, run_dir, hosts):
    try:
        print("started", flush=True)
        if sys.argv[2:] == ["imports"]:
            sys.path.append(".")
            import slow_module
        if sys.argv[2:] == ["collects"]:
            def once(*_):
                gc.callbacks.remove(once)
                time.sleep(60)
            gc.callbacks.append(once)
            gc.collect()
        time.sleep(60)
    except KeyboardInterrupt:
        if sys.argv[2:] != ["saves for long"]:
            raise
        print("saving", flush=True)
        time.sleep(60)
module.run_phases = run_phases
sys.modules["danas_jax.pipeline"] = sys.modules["danas_jax"].pipeline = module
sys.exit(cli.main(["run", "quickstart", "--run-dir", sys.argv[1]]))
"""


def sleeper(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(folder / "r"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_second_signal_ends_at_once(tmp_path):
    process = sleeper(tmp_path, "saves for long")
    for said in ("started\n", "saving\n"):
        assert process.stdout.readline() == said
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_with_3(tmp_path, number):
    process = sleeper(tmp_path)
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 3
    assert error == "danas: interrupted; the same command resumes\n"


def test_a_signal_while_garbage_is_collected_is_not_lost(tmp_path):
    """Python drops what is raised there; a run went on for ten minutes."""
    process = sleeper(tmp_path, "collects")
    assert process.stdout.readline() == "started\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 3
    assert error == "danas: interrupted; the same command resumes\n"


def test_an_import_is_finished_before_a_signal_ends_the_run(tmp_path):
    """What is loaded may be C++ that knows no Python exception: jaxlib aborted the process."""
    text = "import time\nprint('importing', flush=True)\ntime.sleep(0.5)\nprint('imported', flush=True)\n"
    (tmp_path / "slow_module.py").write_text(text)
    process = sleeper(tmp_path, "imports")
    for said in ("started\n", "importing\n"):
        assert process.stdout.readline() == said
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, "imported\n")
    assert error == "danas: interrupted; the same command resumes\n"
