"""A sweep as jobs: which commands it is, whether their flags are right, which are done, and who is at one."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danas_jax import config_io, disk, overrides
from danas_jax.config import Config
from danas_jax.config_checks import validate
from danas_jax.errors import UserError
from danas_jax.evidence import rank_command
from danas_jax.sweep import fields

PLAN = "sweep.json"  # in the sweep's folder: the jobs that it consists of
RESULTS = {"run": "report/index.html", "rank": rank_command.RESULT}  # what a job's command writes last
DANAS = (sys.executable, "-m", "danas_jax")


@dataclass(frozen=True)
class Job:
    """One command of a sweep; `name` is its run directory's in the sweep's folder."""

    name: str
    command: str  # a key of RESULTS
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """The jobs of CONFIG, whose runs live in `folder`; `common` are flags that all of them have."""

    config: str
    folder: Path
    common: tuple[str, ...]
    jobs: tuple[Job, ...]

    def arguments(self, job: Job) -> list[str]:
        """What comes after `danas` for this job; the same again resumes it."""
        return [job.command, self.config, *self.common, *job.flags, "--run-dir", str(self.folder / job.name)]

    def command(self, job: Job) -> list[str]:
        """The job as a process to start."""
        return [*DANAS, *self.arguments(job)]


def load(argument: str, folder: Path | None = None, common: tuple[str, ...] = ()) -> Sweep:
    """The sweep of a Python config with `sweep()`; `folder` is runs/<name>-sweep where it is not given.

    UserError where there is no `sweep()`, where two jobs are the same, or a field is the sweep's own.
    """
    if "--run-dir" in common:
        raise UserError("--run-dir: the runs of a sweep live in its --dir")
    jobs: dict[str, Job] = {}
    for number, found in enumerate(config_io.load_overrides(argument)):
        values = dict(found)
        command = values.pop("command", "run")
        job = Job(fields.name(found), command, tuple(fields.flags(values)))
        if command not in RESULTS:
            raise UserError(f"job {job.name}: command = {command!r}: give {' or '.join(RESULTS)}")
        if "run_dir" in values:
            raise UserError(f"job {job.name}: run_dir: the runs of a sweep live in its --dir")
        if job.name in jobs:
            first = list(jobs).index(job.name)
            raise UserError(f"sweep()[{number}] is the same job as sweep()[{first}]: {job.name}")
        jobs[job.name] = job
    if not jobs:
        raise UserError(f"{argument}: sweep() gives no jobs")
    if folder is None:
        folder = Path("runs") / f"{config_io.load_config(argument).name}-sweep"
    config = os.path.abspath(argument) if argument.endswith(".py") else argument
    return Sweep(config, Path(os.path.abspath(folder)), common, tuple(jobs.values()))


def check(sweep: Sweep) -> dict[str, Config]:
    """The config of each job by its name; one UserError that lists the jobs whose fields or values are wrong."""
    base, found, problems = config_io.load_config(sweep.config), {}, []
    for job in sweep.jobs:
        try:
            found[job.name] = _config(base, sweep, job)
        except UserError as error:
            problems.append(f"job {job.name}: {error}")
    if problems:
        raise UserError("\n".join(problems))
    return found


def _config(base: Config, sweep: Sweep, job: Job) -> Config:
    flags = sweep.arguments(job)[2:]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            if job.command == "rank":
                flags = rank_command.rank_parser().parse_known_args(flags)[1]
            config = overrides.parse_flags(base, flags, "danas run")
    except SystemExit as error:
        raise UserError(_reason(said.getvalue()) or f"cannot be read: {shlex.join(flags)}") from error
    validate(config)
    return config


def _reason(said: str) -> str:
    """The message in what tyro (between two rules, in a frame) or argparse (the last line) prints."""
    lines = [line.strip(" │|") for line in said.splitlines()]
    rules = [i for i, line in enumerate(lines) if len(line) > 3 and not line.strip("-─╭╮╰╯├┤")]
    if not rules:
        return next((line for line in reversed(lines) if line), "")
    end = next((i for i in rules[1:] if i > rules[0] + 1), len(lines))
    return re.sub(r"\s+", " ", " ".join(lines[rules[0] + 1 : end])).strip()


def write_plan(sweep: Sweep) -> None:
    """Leave the list of jobs in the sweep's folder, for `danas sweep collect`."""
    jobs = [{"name": job.name, "command": job.command, "flags": list(job.flags)} for job in sweep.jobs]
    plan: dict[str, Any] = {"config": sweep.config, "common": list(sweep.common), "jobs": jobs}
    path = sweep.folder / PLAN
    with contextlib.suppress(UserError):  # missing or damaged
        if disk.read_json(path) == {"schema_version": disk.SCHEMA_VERSION, **plan}:
            return  # the tasks of an array start at once
    disk.write_json(path, plan)


def is_done(sweep: Sweep, job: Job, config: Config) -> bool:
    """Whether the job has its result, and that is one of `config`, not of what the config file said before."""
    folder = sweep.folder / job.name
    if not (folder / RESULTS[job.command]).exists():
        return False
    try:
        return not config_io.differences(config_io.read_config(folder / "config.json"), config)
    except UserError:
        return False  # the command itself says what is damaged


def claim(sweep: Sweep, job: Job) -> int | None:
    """Take the job: an open file that a process started with `pass_fds` keeps; None where another has the job.

    The kernel gives the job back when the last process that has the file ends, however it ends.
    """
    path = sweep.folder / ".claims" / job.name
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
