"""`danas sweep list|run|collect`: the jobs of a config's `sweep()`, one of them, what all of them found."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from danas_jax.cluster import SWITCH
from danas_jax.errors import UserError
from danas_jax.sweep import plan
from danas_jax.sweep.collect import collect, print_collected

INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID")  # of a Kubernetes Job, of a SLURM array


def sweep_parser(program: str, description: str) -> argparse.ArgumentParser:
    """What every command that takes a sweep is asked; what it does not know are flags for all jobs."""
    parser = argparse.ArgumentParser(
        program, description=description, allow_abbrev=False,
        epilog="Any other flag, e.g. --smoke or --data.path DIR, goes to every job.",
    )  # fmt: skip
    parser.add_argument("config", metavar="CONFIG", help="a .py file with get_config() and sweep(); comes first")
    parser.add_argument("--dir", metavar="DIR", type=Path, help="where the runs live (runs/<config's name>-sweep)")
    return parser


def parse_sweep(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, plan.Sweep]:
    """The options, and the sweep that CONFIG, --dir and the flags for all jobs name."""
    options, common = parser.parse_known_args(arguments)
    return options, plan.load(options.config, options.dir, tuple(common))


def list_command(arguments: list[str]) -> None:
    """Run `danas sweep list`: the command of every job, checked."""
    parser = sweep_parser("danas sweep list", "The jobs of a sweep as commands, after checking their fields.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of commands")
    options, sweep = parse_sweep(parser, arguments)
    plan.check(sweep)
    commands = [["danas", *sweep.arguments(job)] for job in sweep.jobs]
    if options.json:
        rows = [
            {"index": i, "name": job.name, "command": command}
            for i, (job, command) in enumerate(zip(sweep.jobs, commands, strict=True))
        ]
        print(json.dumps({"schema_version": 1, "dir": str(sweep.folder), "jobs": rows}, indent=2))
        return
    for i, command in enumerate(commands):
        print(f"{i}: {shlex.join(command)}")


def run_command(arguments: list[str]) -> None:
    """Run `danas sweep run`: this process becomes the job's command, so signals and exit code are the run's."""
    parser = sweep_parser("danas sweep run", "One job of a sweep; the same command resumes it.")
    parser.add_argument(
        "--index", metavar="I", type=int, help=f"which job, from 0 (else ${' or $'.join(INDEX_VARIABLES)})"
    )
    options, sweep = parse_sweep(parser, arguments)
    job = sweep.jobs[_index(options.index, len(sweep.jobs))]
    plan.write_plan(sweep)
    _become(sweep.command(job))


def _index(given: int | None, count: int) -> int:
    found = {"--index": given} if given is not None else {f"${name}": os.environ.get(name) for name in INDEX_VARIABLES}
    source, text = next(((source, text) for source, text in found.items() if text is not None), ("", ""))
    if not source:
        raise UserError(f"danas sweep run: give --index, or set ${' or $'.join(INDEX_VARIABLES)}")
    if not str(text).isdecimal() or not int(text) < count:
        raise UserError(f"{source} = {text}: there are {count} jobs, give 0 to {count - 1}")
    return int(text)


def _become(command: Sequence[str]) -> None:
    sys.stdout.flush()
    os.environ.setdefault(SWITCH, "off")  # the tasks of an array have a job each
    os.execv(command[0], list(command))


def collect_command(arguments: list[str]) -> None:
    """Run `danas sweep collect`: one table and one front of everything that the runs in DIR found."""
    parser = argparse.ArgumentParser("danas sweep collect", description="What the runs of a sweep found, in one table.")
    parser.add_argument("dir", metavar="DIR", type=Path, help="the sweep's folder, while it is at work or afterwards")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    found = collect(options.dir)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print_collected(found)
