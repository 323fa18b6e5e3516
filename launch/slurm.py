#!/usr/bin/env python3
"""The jobs of a sweep on a SLURM cluster: one array, one process with one GPU per job. Needs submitit.

    python launch/slurm.py CONFIG --dir DIR --hours 8 --partition gpu [danas flags for every job ...]
    python launch/slurm.py CONFIG --dir DIR --dry-run      # prints the sbatch script, SLURM need not be there

DIR must be on a disk that all nodes see; logs are in DIR/slurm. Before the time is up (or on preemption, where the
cluster sends the signal) the run saves and its job is queued again: the same command, which resumes. Jobs that are done
are left out, so the same line again submits what is left.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

from danas_jax.console import say
from danas_jax.errors import UserError
from danas_jax.sweep import plan
from danas_jax.sweep.command import parse_sweep, sweep_parser
from danas_jax.sweep.plan import Sweep

BAD_INPUT = 2
NOTICE_S = 120  # before the end of its time a job is told to save
SAVING_S = 90  # of which the run may take this long
REQUEUES = 1000  # a run may outlast its time as often as this


class Resumed:
    """A job's command for submitit: runs it, and on SLURM's notice lets it save and asks for the same again."""

    def __init__(self, command: list[str]):
        self.command = command
        self.process: subprocess.Popen | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"command": self.command, "process": None}

    def __call__(self) -> None:
        """Run the command to its end; RuntimeError where its exit code is not 0."""
        # The notice goes to every process of the job, and the run would die of it.
        with _ignored(signal.SIGUSR2), _ignored(signal.SIGUSR1):
            self.process = subprocess.Popen(self.command)
        if code := self.process.wait():
            raise RuntimeError(f"exit code {code} of {shlex.join(self.command)}: see the log")

    def checkpoint(self) -> Any:
        """What to queue again, after the run has saved; called by submitit's signal handler."""
        if self.process is not None and not _ended(self.process.pid):
            os.kill(self.process.pid, signal.SIGTERM)
            until = time.monotonic() + SAVING_S
            while not _ended(self.process.pid) and time.monotonic() < until:
                time.sleep(0.2)
        return _submitit().helpers.DelayedSubmission(Resumed(self.command))


def _ended(process: int) -> bool:
    """Whether a child has ended. Popen's own methods wait for the lock of the `wait` that the signal interrupted."""
    try:
        return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Generator[None]:
    """A process started meanwhile ignores the signal, this one for an instant."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError as error:
        raise UserError("launch/slurm.py needs submitit: pip install 'danas-jax[sweep]'") from error


def executor(sweep: Sweep, options: Any) -> Any:
    """submitit's, with the options as sbatch's parameters; UserError where SLURM is not here, unless --dry-run."""
    kind = _submitit().SlurmExecutor
    if options.dry_run:
        kind = type("Printed", (kind,), {"affinity": classmethod(lambda cls: 1)})  # as if srun were here
    try:
        made = kind(folder=sweep.folder / "slurm", max_num_timeout=REQUEUES)
    except RuntimeError as error:
        raise UserError("there is no srun here: submit where SLURM is, or look with --dry-run") from error
    given = {"partition": options.partition, "account": options.account, "qos": options.qos}
    given |= {"constraint": options.constraint, "mem": f"{options.mem_gb}GB" if options.mem_gb else None}
    made.update_parameters(
        job_name="danas-sweep",
        time=round(options.hours * 60),
        ntasks_per_node=1,
        cpus_per_task=options.cpus,
        array_parallelism=options.at_once,
        signal_delay_s=NOTICE_S,
        additional_parameters={"requeue": True},
        **({"gpus_per_node": options.gpus} if options.gpus else {}),
        **{name: value for name, value in given.items() if value is not None},
    )
    return made


def launch(sweep: Sweep, options: Any) -> None:
    """Submit what is not done, or print the script. UserError on wrong fields, before anything is submitted."""
    made = executor(sweep, options)
    configs = plan.check(sweep)
    left = [job for job in sweep.jobs if not plan.is_done(sweep, job, configs[job.name])]
    if not left:
        say("everything is done")
        return
    commands = [sweep.command(job) for job in left]
    if options.dry_run:
        if len(left) > 1:
            made.parameters["map_count"] = len(left)  # what submitit adds for an array
        print(made._make_submission_file_text(made._submitit_command_str, "dry-run").rstrip())
        for i, command in enumerate(commands):
            print(f"# job {i}: {shlex.join(command)}")
        return
    plan.write_plan(sweep)
    with made.batch():
        submitted = [made.submit(Resumed(command)) for command in commands]
    for job, each in zip(left, submitted, strict=True):
        say(f"{each.job_id}: {job.name}")
    say(f"logs: {sweep.folder / 'slurm'}; afterwards: danas sweep collect {sweep.folder}")


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    parser = sweep_parser("launch/slurm.py", "The jobs of a sweep as one SLURM array.")
    parser.add_argument("--hours", type=float, default=8.0, help="of a job before it is queued again (8)")
    parser.add_argument("--gpus", type=int, default=1, help="for each job; 0 = none (1)")
    parser.add_argument("--cpus", type=int, default=4, help="for each job (4)")
    parser.add_argument("--mem-gb", type=int, help="for each job (the cluster's default)")
    parser.add_argument("--at-once", type=int, default=256, help="jobs at a time (256)")
    for name in ("partition", "account", "qos", "constraint"):
        parser.add_argument(f"--{name}", help="sbatch's")
    parser.add_argument("--dry-run", action="store_true", help="print the sbatch script and the jobs' commands")
    try:
        options, sweep = parse_sweep(parser, arguments)
        if options.hours <= 0 or options.gpus < 0 or options.cpus < 1 or options.at_once < 1:
            raise UserError("--hours, --cpus and --at-once must be positive, --gpus 0 or more")
        launch(sweep, options)
    except UserError as error:
        print(f"launch/slurm.py: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
