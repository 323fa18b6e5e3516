"""Processes on this machine as the hosts of one run."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from pipeline_toys import TESTS


def free_port() -> int:
    """One that nobody has, a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder: Path, arguments: list[str], count: int = 2) -> list[subprocess.Popen]:
    """`danas ARGUMENTS` on each of `count` hosts, their output in folder/out.<index>."""
    port, processes = free_port(), []
    for index in range(count):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS))),
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(count),
            "JAX_PROCESS_ID": str(index),
        }
        with open(folder / f"out.{index}", "wb") as output:
            command = [sys.executable, "-m", "danas_jax", *arguments]
            processes.append(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
            )
    return processes
