"""A bare project on an emulated Cortex-M: built, run, its answers, its memory and its instructions read back."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from danas_jax.errors import UserError

FLASH_BYTES = 4 * 2**20  # of the emulated boards, examples included
TIMEOUT_S = 600
_TOOLS = {
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
_EXAMPLE = re.compile(
    r"^example \d+: class (\d+), logits([ \d-]*),.* preprocess ([\d.]+) ms, network ([\d.]+) ms: ", re.M
)
_SECTION = re.compile(r"^(\.\w+(?:\.exidx)?)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)", re.M)


class Answers(NamedTuple):
    """Of each example: class int [N], int8 logits [N, classes], instructions of preprocessing and network, int [N]."""

    classes: np.ndarray
    logits: np.ndarray
    preprocess_instructions: np.ndarray
    network_instructions: np.ndarray


def missing_tools() -> str:
    """What is not installed, as one line that says how to install it; "" when everything is there."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    packages = " ".join(_TOOLS[tool] for tool in missing)
    return f"{' and '.join(missing)} not found: apt-get install {packages}" if missing else ""


def require_tools() -> None:
    """UserError naming what is not installed, and how to."""
    if missing := missing_tools():
        raise UserError(f"--emulate: {missing}")


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{' '.join(command)}: did not end in {TIMEOUT_S} s") from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def build(folder: Path, cpu: str, bench: int = 0) -> None:
    """firmware.elf and firmware.map of the bare project in `folder`; RuntimeError with the compiler's words."""
    _run(["make", "-s", "clean"], folder)
    _run(["make", "-s", "firmware.elf", f"CPU={cpu}", f"BENCH={bench}"], folder)


def run(folder: Path, cpu: str) -> str:
    """What the program built in `folder` prints; RuntimeError when it stops with an error."""
    return _run(["make", "-s", "run", f"CPU={cpu}"], folder)


def memory(folder: Path) -> dict[str, int]:
    """{"flash_bytes", "ram_bytes"} by the linker's map; examples are left out, the stack's reserve counts."""
    sizes = {name: int(size, 16) for name, size in _SECTION.findall((folder / "firmware.map").read_text())}
    return {
        "flash_bytes": sizes[".text"] + sizes.get(".ARM.exidx", 0) + sizes[".data"],
        "ram_bytes": sizes[".data"] + sizes[".bss"] + sizes[".stack"],
    }


def instructions(milliseconds: str) -> int:
    """Instructions by the emulated clock, which counts 1 ns for each, in steps of 40."""
    return round(1e6 * float(milliseconds))


def answers(printed: str) -> Answers:
    """The lines of examples in what a program printed."""
    rows = _EXAMPLE.findall(printed)
    return Answers(
        np.array([int(row[0]) for row in rows]),
        np.array([[int(code) for code in row[1].split()] for row in rows]),
        np.array([instructions(row[2]) for row in rows]),
        np.array([instructions(row[3]) for row in rows]),
    )


def bench_instructions(printed: str) -> dict[str, int]:
    """{cells of a layer: instructions} in what the bench mode printed."""
    rows = [line.rsplit(",", 3) for line in printed.splitlines()[2:] if line]
    return {cells: instructions(ms) for cells, ms, _, _ in rows}
