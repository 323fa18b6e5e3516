#!/usr/bin/env python3
"""The jobs of a sweep on this machine, several at a time; the same command again goes on where it stopped.

    python launch/local.py CONFIG --dir DIR --workers 2 [danas flags for every job ...]
    python launch/local.py CONFIG --dir DIR --gpus 0 1 2 3      # one job at a time on each GPU

Every job is a process of its own, `danas run CONFIG ...`, its output in DIR/logs. Locks in DIR decide who has a job, so
several machines that share DIR may run this at once. Ctrl-C or SIGTERM: the runs save, this ends with 3; once more ends
them at once. Exit code 0: everything is done; 1: a job failed; 2: bad input, nothing was started; 3: interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danas_jax import disk, run
from danas_jax.cluster import SWITCH
from danas_jax.config import Config
from danas_jax.console import duration, say
from danas_jax.errors import UserError
from danas_jax.sweep import plan
from danas_jax.sweep.command import parse_sweep, sweep_parser
from danas_jax.sweep.plan import Job, Sweep

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3
TRIES = 3  # of a job whose process is killed, by the kernel for want of memory, say
POLL_S = 0.2


@dataclass
class Work:
    """What is left of a sweep, and the processes that are at it, by worker."""

    sweep: Sweep
    configs: Mapping[str, Config]
    environments: Sequence[Mapping[str, str]]  # of each worker, beside this process's
    waiting: list[Job]
    running: dict[int, tuple[Job, subprocess.Popen, float]] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    stopping: bool = False

    def stop(self, number: int, frame: object) -> None:
        """A signal handler: the runs get SIGTERM, save and end; the second one ends them at once."""
        self.stopping = True
        for _, process, _ in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    def fill(self) -> None:
        """Give every free worker the next job that is not done and that nobody else has."""
        for worker in range(len(self.environments)):
            if worker not in self.running and not self.stopping:
                self._start_next(worker)

    def _start_next(self, worker: int) -> None:
        for job in list(self.waiting):
            claimed = plan.claim(self.sweep, job)
            if claimed is None:
                continue
            try:
                # Asked with the claim in hand: whoever had it before may have finished the job.
                if plan.is_done(self.sweep, job, self.configs[job.name]):
                    say(f"{job.name}: done before")
                    self.waiting.remove(job)
                elif not run.holder(self.sweep.folder / job.name):  # `danas run` by hand
                    self.waiting.remove(job)
                    self._start(worker, job, claimed)
                    return
            finally:
                os.close(claimed)  # a process that was started keeps it

    def _start(self, worker: int, job: Job, claimed: int) -> None:
        log = log_path(self.sweep, job)
        with disk.writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("ab")
        environment = {SWITCH: "off", **os.environ, **self.environments[worker]}
        with output:
            # A session of its own: the terminal's Ctrl-C comes here only, and is passed on once.
            process = subprocess.Popen(
                self.sweep.command(job), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, pass_fds=(claimed,), start_new_session=True,
            )  # fmt: skip
        self.running[worker] = job, process, time.monotonic()
        self.tries[job.name] += 1
        say(f"{job.name}: started (process {process.pid}, {log})")
        if self.stopping:  # the signal came while it was being started
            process.send_signal(signal.SIGTERM)

    def reap(self) -> None:
        """Take note of the processes that ended; a killed one's job waits again."""
        for worker, (job, process, started) in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            del self.running[worker]
            took = duration(time.monotonic() - started)
            if code == DONE:
                say(f"{job.name}: done ({took})")
            elif code == INTERRUPTED or code < 0:
                how = "interrupted" if code == INTERRUPTED else f"killed by signal {-code}"
                if self.tries[job.name] < TRIES or self.stopping:
                    say(f"{job.name}: {how} after {took}" + ("" if self.stopping else ", taken again"))
                    self.waiting.append(job)
                else:
                    self._fail(job, f"{how} {TRIES} times")
            else:
                self._fail(job, f"exit code {code}")

    def _fail(self, job: Job, why: str) -> None:
        log = log_path(self.sweep, job)
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        self.failed.append(job.name)
        say(f"{job.name}: failed, {why}: {' '.join(last)} ({log})")


def log_path(sweep: Sweep, job: Job) -> Path:
    """Where a job's output is appended."""
    return sweep.folder / "logs" / f"{job.name}.log"


def work(sweep: Sweep, environments: Sequence[Mapping[str, str]]) -> int:
    """Run what is left of `sweep` with a worker per environment; returns the exit code. UserError on wrong fields."""
    state = Work(sweep, plan.check(sweep), environments, list(sweep.jobs))
    plan.write_plan(sweep)
    before = {number: signal.signal(number, state.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        while state.running or (state.waiting and not state.stopping):
            state.reap()
            state.fill()
            time.sleep(POLL_S)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if state.stopping:
        say(f"interrupted with {len(state.waiting)} jobs left; the same command goes on")
        return INTERRUPTED
    if state.failed:
        say(f"failed: {', '.join(state.failed)}")
    return FAILED if state.failed else DONE


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    parser = sweep_parser("launch/local.py", "The jobs of a sweep on this machine, several at a time.")
    parser.add_argument("--workers", metavar="N", type=int, default=1, help="jobs at a time (1)")
    parser.add_argument(
        "--gpus", metavar="ID", nargs="+", help="a worker for each of these GPUs, in place of --workers"
    )
    try:
        options, sweep = parse_sweep(parser, arguments)
        if options.workers < 1:
            raise UserError(f"--workers = {options.workers}: give 1 or more")
        environments: list[dict[str, Any]] = [{} for _ in range(options.workers)]
        if options.gpus:
            environments = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in options.gpus]
        return work(sweep, environments)
    except UserError as error:
        print(f"launch/local.py: {error}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
