"""The checks of `danas doctor`. None of them raises: whatever goes wrong is what it says."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from danas_jax import disk
from danas_jax.bench.machine import machine
from danas_jax.errors import UserError
from danas_jax.memory import free_memory_bytes
from danas_jax.provenance import provenance

OK, WARNING, FAILED = "ok", "warning", "failed"
PROBE_S, SELF_CHECK_S = 120.0, 20.0  # that one fresh process may take; the supernet's step
DISK_BYTES, MEMORY_BYTES = (200 * 10**6, 5 * 10**9), (500 * 10**6, 2 * 10**9)  # failed below the first, warned below
_FEATURES = re.compile(r"[Mm]achine (?:type|feature)[^\n]*|[^\n]*could lead to[^\n]*SIGILL[^\n]*")
_FEATURE = re.compile(r"[+-][a-z0-9][a-z0-9._-]*(?= is not| not supported)")


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, and what to do where it is not ok."""

    name: str
    state: Literal["ok", "warning", "failed"]
    said: str
    remedy: str = ""


class ProbeError(Exception):
    """A fresh process did not answer; says why."""


def probe(
    name: str, timeout_s: float = PROBE_S, environment: dict[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """(answer, standard error) of one of probe.PROBES in a fresh process; ProbeError where it gives none."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from danas_jax.doctor.probe import main; main({name!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise ProbeError(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise ProbeError(f"no process could be started: {error}") from error
    if done.returncode < 0:
        raise ProbeError(f"the process died of {signal.Signals(-done.returncode).name}")
    try:
        return json.loads(done.stdout), done.stderr
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ProbeError(lines[-1][:300]) from None


def versions() -> list[Check]:
    """danas, Python and the packages that it cannot do without."""
    found = provenance()
    missing = [name for name, version in found["versions"].items() if version is None and name != "danas-jax"]
    named = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    commit = found["git_commit"]
    checks = [
        Check(
            "danas", OK, f"{found['versions']['danas-jax'] or 'not installed, run from a checkout'}, commit {commit}"
        ),
        Check("python", OK, f"{found['python']} on {found['platform']}"),
        Check("packages", OK, named),
    ]
    if missing:
        checks[2] = Check("packages", FAILED, f"missing: {', '.join(missing)}; {named}", "pip install -e . again")
    return checks


def processor() -> Check:
    """Processor, cores, load."""
    found = machine()
    load, cpus = found["load_average_1m"], found["cpus"]
    said = f"{found['processor'] or platform.machine()}, {cpus} cores, load {load if load is None else f'{load:.1f}'}"
    if load is not None and load > 2 * cpus:
        return Check("processor", WARNING, said, "other programs work here: timings and self-checks will be slow")
    return Check("processor", OK, said)


def memory() -> Check:
    """Memory that is free."""
    return _enough(
        "memory", free_memory_bytes(), MEMORY_BYTES, "free", "end other programs, or give a smaller batch_size"
    )


def disk_space(name: str, folder: Path) -> Check:
    """Space on the disk of a folder that need not be there yet."""
    try:
        free = shutil.disk_usage(_existing(folder)).free
    except OSError as error:
        return Check(name, FAILED, f"{_short(folder)}: {error.strerror}", "give another folder")
    return _enough(name, free, DISK_BYTES, f"free at {_short(folder)}", "free some space, or give another folder")


def _enough(name: str, free: int, limits: tuple[int, int], what: str, remedy: str) -> Check:
    state = FAILED if free < limits[0] else WARNING if free < limits[1] else OK
    return Check(name, state, f"{free / 1e9:.1f} GB {what}", "" if state == OK else remedy)


def writable(name: str, folder: Path, remedy: str) -> Check:
    """Whether a file can be written in a folder, made for it where it is missing, as a run writes; nothing is left."""
    folder = folder.expanduser().absolute()
    made = _existing(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".danas-doctor-", dir=made) as place:
            disk.write_bytes(Path(place) / "file", b"danas")
            if (Path(place) / "file").read_bytes() != b"danas":
                return Check(name, FAILED, f"{_short(folder)}: what is read is not what was written", remedy)
    except (OSError, UserError) as error:
        return Check(name, FAILED, f"{_short(folder)}: {getattr(error, 'strerror', None) or error}", remedy)
    return Check(name, OK, _short(folder) + ("" if made == folder else " (not there yet, can be made)"))


def _existing(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    folder = folder.expanduser().absolute()
    return next((parent for parent in (folder, *folder.parents) if parent.is_dir()), Path("/"))


def _short(path: Path) -> str:
    """A path without the user's name: it may go into an issue."""
    home, text = str(Path.home()), str(path.expanduser().absolute())
    return "~" + text.removeprefix(home) if text.startswith(home + os.sep) else text


def _probed(name: str, ask: Callable[[], Check], remedy: str) -> Check:
    try:
        return ask()
    except ProbeError as error:
        return Check(name, FAILED, str(error), remedy)


def devices() -> Check:
    """What JAX computes on."""

    def ask() -> Check:
        found, _ = probe("devices")
        said = ", ".join(found["devices"])
        if found["backend"] == "cpu" and shutil.which("nvidia-smi"):
            return Check("devices", WARNING, f"{said}; a GPU is here and not used", 'pip install -U "jax[cuda12]"')
        return Check("devices", OK, said)

    return _probed("devices", ask, "reinstall jax and jaxlib of one version: pip install -U jax jaxlib")


def tflm() -> Check:
    """TFLM runs a network, and its answers are those of the integer simulation."""

    def ask() -> Check:
        found, _ = probe("network")
        operators, arena = len(found["operators"]), found["arena_bytes"]
        return Check("tflm", OK, f"a network of {operators} kinds of operators in {arena:,} B, answers bit-identical")

    return _probed(
        "tflm", ask, "reinstall tflite-micro in the version that setup.cfg names; Linux on x86-64 has wheels"
    )


def compiled_programs(cache: Path) -> Check:
    """Whether this CPU takes back from JAX's cache what it compiled: one program in two fresh processes."""
    name, remedy = "xla cache", "set JAX_COMPILATION_CACHE_DIR to a folder on a local disk"

    def ask() -> Check:
        with tempfile.TemporaryDirectory(prefix=".danas-doctor-", dir=_existing(cache)) as place:
            environment = {"JAX_COMPILATION_CACHE_DIR": place, "TF_CPP_MIN_LOG_LEVEL": "0"}
            (first, _), (second, errors) = (probe("program", environment=environment) for _ in range(2))
        warned = _FEATURES.findall(errors)
        if first["result"] != second["result"]:
            return Check(name, FAILED, f"a loaded program gives {second['result']}, not {first['result']}", remedy)
        if not second["loaded"]:
            return Check(name, WARNING, "a second process compiles again: every start takes compile time", remedy)
        if warned:
            features = sorted({feature for line in warned for feature in _FEATURE.findall(line)})
            what = ", ".join(features) if features else warned[0][:200]
            return Check(
                name,
                WARNING,
                f"a second process loads it, XLA warns of machine features: {what}",
                f"harmless where programs run; where they crash, empty {_short(cache)}",
            )
        return Check(name, OK, "a second process loads what the first one compiled")

    return _probed(name, ask, remedy)


def supernet() -> Check:
    """A step of a tiny supernet."""
    try:
        found, _ = probe("step", SELF_CHECK_S)
    except ProbeError as error:
        if "within" in str(error):
            return Check("supernet", WARNING, str(error), "the machine is busy or slow: try again when it is idle")
        return Check("supernet", FAILED, str(error), "mend what failed above first; else it is worth an issue")
    return Check("supernet", OK, f"one step in {found['step_s']:.1f} s with compiling, loss {found['loss']:.3f}")
