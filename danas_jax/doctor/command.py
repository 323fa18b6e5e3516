"""`danas doctor`: one line for each check of this installation and machine. Starts without jax."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

from danas_jax.doctor import checks
from danas_jax.doctor.checks import FAILED, OK, WARNING, Check

SCHEMA_VERSION = 1
XLA_CACHE = "~/.cache/danas_jax/xla"  # runtime.CACHE, whose module brings jax
END = "paste this into an issue"


def doctor(arguments: list[str]) -> int:
    """Run `danas doctor` with these arguments and print what it finds; 0, or 1 where a check failed."""
    parser = argparse.ArgumentParser("danas doctor", description="Does danas work on this machine?")
    parser.add_argument("--quick", action="store_true", help="only what takes no process of its own")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a line for each check")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    found = []
    for check in every_check(options.quick):
        found.append(check)
        if not options.json:
            print(_line(check), flush=True)
    worst = next(state for state in (FAILED, WARNING, OK) if state in {check.state for check in found})
    if options.json:
        rows = [{"name": c.name, "state": c.state, "said": c.said, "remedy": c.remedy} for c in found]
        print(json.dumps({"schema_version": SCHEMA_VERSION, "state": worst, "checks": rows}, indent=2))
    else:
        print(f"{worst}; {END}")
    return 1 if worst == FAILED else 0


def every_check(quick: bool) -> Iterator[Check]:
    """Every check, one after the other."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "danas_jax"
    xla = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or XLA_CACHE)
    yield from checks.versions()
    yield checks.processor()
    yield checks.memory()
    yield checks.disk_space("disk", Path.cwd())
    yield checks.disk_space("disk cache", caches)
    yield checks.writable("runs", Path("runs"), "change to a folder of yours, or give --run-dir")
    yield checks.writable("cache", caches, "set XDG_CACHE_HOME, or data.cache_dir, to a folder of yours")
    yield checks.writable("xla folder", xla, "set JAX_COMPILATION_CACHE_DIR to a folder of yours")
    if quick:
        return
    yield checks.devices()
    yield checks.tflm()
    yield checks.compiled_programs(xla)
    yield checks.supernet()


def _line(check: Check) -> str:
    remedy = f" -> {check.remedy}" if check.remedy else ""
    return f"{check.state:<8}{check.name:<12}{check.said}{remedy}"
