"""`danas status`: where a run stands, as text or JSON, once or until it ends. Starts without jax."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from typing import Any

from danas_jax.classification import METRIC_NAMES
from danas_jax.console import duration
from danas_jax.report.status import status
from danas_jax.report.table import budget_text, sure

REFRESH_S = 2.0
TIERS = {
    "half": "half of the search slice",
    "full": "the search slice",
    "int8": "the search slice, int8",
    None: "",
}


def status_command(arguments: list[str]) -> None:
    """Run `danas status` with these arguments and print the answer; UserError where the folder is no run."""
    parser = argparse.ArgumentParser("danas status", description="Where a run stands, from its folder alone.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, while it works or afterwards")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; with --watch a line each time")
    parser.add_argument("--watch", action="store_true", help="show it again until the run ends, or Ctrl-C")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    if not options.watch:
        found = status(options.run)
        print(json.dumps(found, indent=2) if options.json else text(found))
        return
    with contextlib.suppress(KeyboardInterrupt):  # how it may end, too
        while True:
            found = status(options.run)
            print(json.dumps(found) if options.json else _screen(text(found)), flush=True)
            if found["state"] != "running":
                return
            time.sleep(REFRESH_S)


def _screen(shown: str) -> str:
    """On a terminal over the last one, without flicker; elsewhere below it."""
    if not sys.stdout.isatty():
        return shown + "\n"
    return "\x1b[H" + shown.replace("\n", "\x1b[K\n") + "\x1b[K\x1b[J"


def text(found: dict[str, Any]) -> str:
    """A status as lines for a reader."""
    process = f" (process {found['process']})" if found["process"] else ""
    lines = [f"{found['name']}: {found['state']}{process}"]
    lines += [f"  {phase['phase']:<8} {_phase(phase)}" for phase in found["phases"]]
    lines += _budgets(found)
    lines += [f"  {network['name']}: {_network(network)}" for network in found["networks"]]
    ago = duration(max(time.time() - found["last_activity_unix_s"], 0.0))
    lines.append(f"{found['disk_bytes'] / 1024**2:.1f} MB on disk, last written {ago} ago")
    lines.append(f"report: {found['report'] or 'none yet'}")
    if found["resume"]:
        lines.append(f"go on: {found['resume']}")
    return "\n".join([*lines, *(f"warning: {note}" for note in found["notes"])])


def _phase(phase: dict[str, Any]) -> str:
    if phase["state"] == "done":
        return "done" + (f" in {duration(phase['time_s'])}" if phase["time_s"] is not None else "")
    progress = phase["progress"]
    if progress is None:
        return phase["state"]
    parts = [f"{progress['unit']} {progress['done']}" + (f"/{progress['total']}" if progress["total"] else "")]
    if "epoch" in progress:
        parts.append(f"epoch {progress['epoch']}/{progress.get('epochs', '?')}")
    if "evaluations" in progress:
        parts.append(f"{progress['evaluations']} systems evaluated")
    names = {"loss": "loss", "accuracy": "batch accuracy"}
    parts += [f"{name} {progress[key]:.3f}" for key, name in names.items() if key in progress]
    if "images_per_s" in progress:
        parts.append(f"{progress['images_per_s']:.0f} images/s")
    if progress["left_s"] is not None:
        parts.append(f"{duration(progress['left_s'])} left")
    return f"{phase['state']}: {', '.join(parts)}"


def _budgets(found: dict[str, Any]) -> list[str]:
    """The best of each budget, where anything is known of one."""
    known = [row for row in found["budgets"] if row["best"] is not None]
    if not known:
        return []
    title = f"best {METRIC_NAMES[found['metric']]} [95 %] per budget, on {TIERS[known[0]['tier']]}:"
    return [
        title,
        *(f"  {budget_text(row['budget'])}: {sure(row['best'], row['interval'])}" for row in found["budgets"]),
    ]


def _network(network: dict[str, Any]) -> str:
    done = [step for step in ("retrained", "exported", "tested") if network[step]]
    if not network["retrained"]:
        done = [f"epoch {network['epoch']}/{network['epochs']}"]
    if network["loss"] is not None:
        done.append(f"loss {network['loss']:.3f}")
    if network["validation_accuracy"] is not None:
        done.append(f"validation accuracy {sure(network['validation_accuracy'], network['validation_interval'])}")
    return ", ".join(done)
