"""`danas status` on a real small run: before, in and after each phase, at work, killed, damaged; and on no run."""

import contextlib
import dataclasses
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pipeline_toys import TOY, config_file

from danas_jax import cli, config_io, disk, run
from danas_jax.report import status_command
from danas_jax.report.status import PHASES, status

REPOSITORY = Path(__file__).resolve().parent.parent
HOLD = """
import sys, time
from danas_jax import disk, run
with run.lock(sys.argv[1]):
    print("in", flush=True)
    time.sleep(999)
"""


def shown(*arguments):
    """(exit code, what is printed) of `danas status ARGUMENTS`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main(["status", *map(str, arguments)])
    return code, out.getvalue()


def states(found):
    return [phase["state"] for phase in found["phases"]]


@pytest.fixture(scope="module")
def moments(place):
    """What status told during a run, and what a kill -9 there leaves: {moment: (status, copy of the folder)}."""
    folder, found = place / "run", {}

    one_at_a_time = threading.Lock()  # networks are retrained in threads

    def take(name):
        with one_at_a_time:
            if name in found:
                return
            copy = place / f"killed in {name}"
            with contextlib.suppress(shutil.Error):  # checkpoints are written meanwhile: a temporary file may be gone
                shutil.copytree(folder, copy)  # its lock file is another file: nobody holds it
            found[name] = status(folder), copy

    append, mark, write = run.append_metrics, run.mark_done, disk.write_bytes

    def appended(run_dir, record):
        append(run_dir, record)
        second = record["phase"] == "retrain" and record["epoch"] == 2  # a network's last
        take(record["phase"] + (" epoch 2" if second else ""))

    def marked(run_dir, phase, payload=None):
        mark(run_dir, phase, payload)
        take(f"{phase} done")

    def written(path, data):
        write(path, data)
        if Path(path).name == "measured.json":
            take("one exported")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "append_metrics", appended)
        patch.setattr(run, "mark_done", marked)
        patch.setattr(disk, "write_bytes", written)
        assert cli.main(["run", config_file(place), "--run-dir", str(folder)]) == 0
    found["end"] = status(folder), folder
    return found


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("train", ["running", "waiting", "waiting", "waiting"]),
        ("train done", ["done", "running", "waiting", "waiting"]),
        ("search", ["done", "running", "waiting", "waiting"]),
        ("search done", ["done", "done", "running", "waiting"]),
        ("retrain", ["done", "done", "running", "waiting"]),
        ("export", ["done", "done", "done", "running"]),
        ("one exported", ["done", "done", "done", "running"]),
        ("export done", ["done", "done", "done", "done"]),
    ],
)
def test_a_run_at_work(moments, moment, expected):
    """While the process holds the lock, and what its death there leaves."""
    at_work, copy = moments[moment]
    assert states(at_work) == expected
    assert (at_work["state"], at_work["process"], at_work["resume"]) == ("running", os.getpid(), None)
    killed = status(copy)
    begun = not moment.endswith("done")
    assert states(killed) == [state.replace("running", "interrupted" if begun else "waiting") for state in expected]
    assert (killed["state"], killed["process"], killed["resume"]) == ("stopped", None, f"danas run '{copy}'")
    assert killed["notes"] == at_work["notes"] == []
    assert json.loads(json.dumps(killed, allow_nan=False)) == killed
    code, text = shown(copy)
    assert code == 0
    assert f"go on: danas run '{copy}'" in text


def test_progress_is_what_was_logged(moments):
    found = moments["train"][0]
    last = run.read_metrics(moments["train"][1])[-1]
    progress = found["phases"][0]["progress"]
    assert {key: progress[key] for key in ("done", "total", "loss", "accuracy", "images_per_s")} == {
        "done": last["step"], "total": 3, **{key: last[key] for key in ("loss", "accuracy", "images_per_s")}
    }  # fmt: skip
    assert (progress["unit"], progress["epoch"], progress["epochs"]) == ("step", 1, 1)
    progress = moments["search"][0]["phases"][1]["progress"]
    assert (progress["unit"], progress["done"], progress["total"]) == ("generation", 1, 3)
    assert progress["evaluations"] > 0
    networks = moments["retrain epoch 2"][0]["networks"]
    progress = moments["retrain epoch 2"][0]["phases"][2]["progress"]
    assert progress["total"] == 2 * len(networks)
    assert progress["done"] == sum(network["epoch"] for network in networks) >= 2
    assert max(network["epoch"] for network in networks) == 2
    assert progress["left_s"] is not None
    assert progress["per_s"] > 0


def test_the_search_tells_the_best_of_each_budget(moments):
    before, during, after = (moments[name][0]["budgets"] for name in ("train", "search", "end"))
    assert [row["budget"]["sram_bytes"] for row in after] == [limits.sram_bytes for limits in TOY.budgets]
    assert [row["best"] for row in before] == [None, None]
    assert [row["tier"] for row in during] == ["half", "half"]
    assert [row["best"] for row in during] == run.read_metrics(moments["search"][1])[-1]["best_accuracy"]
    for row in (*during, *after):
        assert 0 <= row["interval"][0] <= row["best"] <= row["interval"][1] <= 1
    pareto = disk.read_json(moments["end"][1] / "search/pareto.json")["budgets"]
    for row, budget in zip(after, pareto, strict=True):
        assert row["best"] == max(c["accuracy"]["int8"] for c in budget["reranked"])
        assert (row["tier"], row["finalists"]) == ("int8", budget["finalists"])


def test_networks_go_from_retrained_to_tested(moments):
    def count(moment, key):
        return sum(network[key] for network in moments[moment][0]["networks"])

    everyone = len(moments["end"][0]["networks"])
    steps = ("retrained", "exported", "tested")
    assert everyone >= 2
    assert [count("search done", key) for key in steps] == [0, 0, 0]
    assert [count("export", key) for key in steps] == [everyone, 0, 0]
    retrained, exported, tested = (count("one exported", key) for key in steps)
    assert (retrained, tested) == (everyone, 0)
    assert 1 <= exported <= everyone  # another one may be ready in the same moment
    assert [count("end", key) for key in steps] == [everyone] * 3
    assert moments["one exported"][0]["phases"][3]["progress"]["done"] == exported


def test_a_finished_run(moments):
    found, folder = moments["end"]
    assert (found["state"], found["process"], found["resume"]) == ("finished", None, None)
    assert states(found) == ["done"] * 4
    assert found["report"] == str(folder / "report/index.html")
    assert [phase["time_s"] for phase in found["phases"]] == [run.phase_payload(folder, p)["time_s"] for p in PHASES]
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert found["disk_bytes"] == sum(p.stat().st_size for p in files)
    assert found["last_activity_unix_s"] == max(p.stat().st_mtime for p in files if p.name != ".lock")
    code, text = shown(folder)
    assert code == 0
    assert "toy: finished\n" in text
    assert "best accuracy [95 %] per budget, on the search slice, int8:" in text
    assert "go on" not in text
    assert json.loads(shown(folder, "--json")[1]) == found


def test_a_fresh_run(tmp_path):
    """Its process has the lock, but nothing is computed yet: pictures are read."""
    config = dataclasses.replace(TOY, run_dir=str(tmp_path / "r"))
    with run.lock(tmp_path / "r"):
        run.open_run(config)
        found = status(tmp_path / "r")
        assert states(found) == ["running", "waiting", "waiting", "waiting"]
        assert (found["phases"][0]["progress"]["done"], found["phases"][0]["progress"]["total"]) == (0, None)
        assert "running: step 0\n" in shown(tmp_path / "r")[1]
    found = status(tmp_path / "r")
    assert (found["state"], states(found)) == ("stopped", ["waiting"] * 4)
    assert found["resume"] == f"danas run {tmp_path / 'r'}"


@pytest.fixture
def holder(moments, tmp_path):
    """A folder killed in its retraining, and another process that took its lock."""
    copy = tmp_path / "run"
    shutil.copytree(moments["retrain"][1], copy)
    command = [sys.executable, "-c", HOLD, str(copy)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in\n"
    yield copy, process
    process.kill()
    process.communicate()


def test_another_process_is_told_and_its_death_is_noticed(holder):
    copy, process = holder
    found = status(copy)
    assert (found["state"], found["process"], states(found)[2]) == ("running", process.pid, "running")
    assert f"toy: running (process {process.pid})\n" in shown(copy)[1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    (copy / ".lock").write_text(f"{os.getpid()}\n")  # its number may be another's by now
    found = status(copy)
    assert (found["state"], found["process"], states(found)[2]) == ("stopped", None, "interrupted")


def test_asking_keeps_nobody_out(moments, tmp_path, monkeypatch):
    """A run that starts in the instant in which status looks at the lock."""
    shutil.copytree(moments["train"][1], tmp_path / "run")
    asker = open(tmp_path / "run/.lock")  # noqa: SIM115 - closed below
    fcntl.flock(asker, fcntl.LOCK_SH)
    monkeypatch.setattr(run.time, "sleep", lambda _: asker.close())
    with run.lock(tmp_path / "run"):
        assert asker.closed


def test_watching_ends_with_the_run(holder, monkeypatch, capsys):
    copy, process = holder
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 2:
            process.kill()
            process.wait()

    monkeypatch.setattr(status_command.time, "sleep", sleep)
    assert cli.main(["status", str(copy), "--watch", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["running", "running", "stopped"]
    assert naps == [status_command.REFRESH_S] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_ends_at_ctrl_c(holder, number):
    copy, process = holder
    code = "import sys; from danas_jax.cli import main; sys.exit(main())"
    watching = subprocess.Popen(
        [sys.executable, "-c", code, "status", str(copy), "--watch"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert watching.stdout.readline() == f"toy: running (process {process.pid})\n"
    time.sleep(0.2)
    watching.send_signal(number)
    _, error = watching.communicate(timeout=60)
    assert (watching.returncode, error) == (0, "")
    assert process.poll() is None


def test_a_terminal_is_overwritten(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert status_command._screen("a\nb") == "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J"


def test_damage_is_named_and_the_rest_is_told(moments, tmp_path):
    shutil.copytree(moments["end"][1], tmp_path / "run")
    path = tmp_path / "run/metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["rubbish", *lines[1:], '{"phase": "tra']))
    (tmp_path / "run/search/pareto.json").write_text("{")
    (tmp_path / "run/.phases/train.json").write_text("")
    disk.write_json(tmp_path / "run/.phases/search.json", {"time_s": {}})
    code, text = shown(tmp_path / "run")
    assert code == 0
    assert "metrics.jsonl, line 1 is damaged" in text
    assert "pareto.json is damaged: " in text
    assert "train.json is damaged" in text
    assert "search.json is damaged: time_s = {}" in text
    assert text.count("warning: ") == 4
    assert states(status(tmp_path / "run")) == ["done"] * 4


def test_best_accuracies_that_are_none_are_left_out(tmp_path):
    disk.write_json(tmp_path / "config.json", config_io.to_json(dataclasses.replace(TOY, budgets=TOY.budgets[:1] * 3)))
    best, between = [["x"], 0.75, {}], [[0, "x"], [0.5, 1], [1]]
    record = {"phase": "search", "step": 1, "best_accuracy": best, "best_interval": between}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    code, text = shown(tmp_path)
    assert code == 0
    assert "0.750 [0.500, 1.000]" in text
    assert [row["best"] for row in status(tmp_path)["budgets"]] == [None, 0.75, None]


def test_what_is_no_run_is_2(tmp_path, capsys):
    (tmp_path / "holiday.jpg").touch()
    for folder, why in ((tmp_path, "holds no config.json"), (tmp_path / "nowhere", "no such folder")):
        assert cli.main(["status", str(folder)]) == 2
        assert capsys.readouterr().err == f"danas: RUN = {folder}: {why}, so it is not a run's folder\n"
    (tmp_path / "config.json").write_text("{")
    assert cli.main(["status", str(tmp_path)]) == 2
    assert "config.json is damaged" in capsys.readouterr().err


def test_it_needs_no_jax_and_writes_nothing(moments):
    folder = moments["retrain"][1]
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    code = (
        "import sys; from danas_jax.cli import main; code = main(sys.argv[1:])\n"
        "assert not {'jax', 'flax', 'tensorboardX'} & set(sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "status", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
