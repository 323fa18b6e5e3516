"""`danas doctor`: every check says how it is and what to do; a probe that dies or hangs is an answer, too."""

import json
from pathlib import Path

import pytest

from danas_jax import cli
from danas_jax.doctor import checks, command, probe
from danas_jax.doctor.checks import FAILED, OK, WARNING, Check


def answers(monkeypatch, *given):
    """Stand-in for the fresh processes: each call gives the next of (answer, stderr), or raises it."""
    left = list(given)

    def asked(name, timeout_s=0, environment=None):
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(checks, "probe", asked)


def test_the_quick_ones_end_with_what_to_do_with_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert cli.main(["doctor", "--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("paste this into an issue")
    assert {line.split()[0] for line in lines[:-1]} <= {OK, WARNING}
    assert any("python" in line and "3." in line for line in lines)
    assert list(tmp_path.iterdir()) == []  # nothing is left


def test_json_holds_the_same(monkeypatch, capsys):
    monkeypatch.setattr(
        command, "every_check", lambda quick: iter([Check("a", OK, "x"), Check("b", WARNING, "y", "z")])
    )
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == WARNING
    assert found["checks"][1] == {"name": "b", "state": WARNING, "said": "y", "remedy": "z"}


def test_a_failed_check_is_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(
        command, "every_check", lambda quick: iter([Check("a", FAILED, "broken", "mend it"), Check("b", OK, "x")])
    )
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "broken -> mend it" in out
    assert out.splitlines()[-1].startswith(FAILED)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    missing = checks.writable("cache", Path("new/folder"), "x")
    assert missing.state == OK
    assert "not there yet" in missing.said
    assert not (tmp_path / "new").exists()
    (tmp_path / "there").mkdir()
    for there in (tmp_path / "there", Path("there"), Path("~/there")):
        assert "not there yet" not in checks.writable("cache", there, "x").said
    found = checks.writable("cache", Path("/proc/danas"), "give another")  # where nobody can make a file
    assert (found.state, found.remedy) == (FAILED, "give another")


@pytest.mark.parametrize(("free", "state"), [(10**8, FAILED), (10**9, WARNING), (10**10, OK)])
def test_disk_and_memory(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(checks, "free_memory_bytes", lambda: free)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    for found in (checks.memory(), checks.disk_space("disk", tmp_path / "not" / "there")):
        assert found.state == state
        assert bool(found.remedy) == (state != OK)


def test_a_missing_package_fails(monkeypatch):
    real = checks.provenance()
    monkeypatch.setattr(checks, "provenance", lambda: {**real, "versions": {**real["versions"], "flax": None}})
    found = next(check for check in checks.versions() if check.name == "packages")
    assert found.state == FAILED
    assert "missing: flax" in found.said


def test_a_gpu_that_is_not_used(monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    answers(monkeypatch, ({"backend": "cpu", "devices": ["cpu"]}, ""))
    assert checks.devices().state == WARNING


FEATURES = (
    "E0000 cpu_aot_loader.cc:210] Loading CPU AOT result. Target machine feature +prefer-no-gather is not supported"
)


@pytest.mark.parametrize(
    ("second", "stderr", "state", "said"),
    [
        ({"loaded": True, "result": 1.0}, "", OK, "loads what the first one compiled"),
        ({"loaded": False, "result": 1.0}, "", WARNING, "compiles again"),
        ({"loaded": True, "result": 2.0}, "", FAILED, "gives 2.0, not 1.0"),
        ({"loaded": True, "result": 1.0}, FEATURES, WARNING, "+prefer-no-gather"),
    ],
)
def test_the_compilation_cache(monkeypatch, tmp_path, second, stderr, state, said):
    answers(monkeypatch, ({"loaded": False, "result": 1.0}, ""), (second, stderr))
    found = checks.compiled_programs(tmp_path / "xla")
    assert found.state == state
    assert said in found.said
    assert list(tmp_path.iterdir()) == []


def test_probes_that_die_or_hang(monkeypatch, tmp_path):
    answers(monkeypatch, *[checks.ProbeError("the process died of SIGILL")] * 4)
    for check in (checks.devices, checks.tflm, lambda: checks.compiled_programs(tmp_path), checks.supernet):
        found = check()
        assert found.state == FAILED
        assert "SIGILL" in found.said
        assert found.remedy
    answers(monkeypatch, checks.ProbeError("no answer within 20 s"))
    assert checks.supernet().state == WARNING


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
        ("raise ImportError('no jaxlib here')", "no jaxlib here"),
        ("print('chatter')", "exit code 0"),
    ],
)
def test_what_a_fresh_process_may_do(monkeypatch, code, said):
    real = checks.subprocess.run
    monkeypatch.setattr(checks.subprocess, "run", lambda command, **options: real([*command[:2], code], **options))
    timeout_s = 1 if "sleep" in code else 60
    with pytest.raises(checks.ProbeError, match=said):
        checks.probe("devices", timeout_s)


def test_the_networks_answers_are_tflms():
    found, _ = checks.probe("network")
    assert found["arena_bytes"] > 0
    assert "CONV_2D" in found["operators"]


def test_the_probes_compute():
    found = probe.step()
    assert 0 < found["loss"] < 10
    assert probe.devices()["devices"]
