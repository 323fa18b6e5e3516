"""Where a result comes from: versions, machine, git commit and command of this process."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_PACKAGES = ("danas-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tflite-micro", "pillow")


def provenance() -> dict:
    """Versions, machine, git commit and command of this process (JSON-ready)."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],  # where danas is installed is nobody's business
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "versions": versions,
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """Commit of the tree this package is imported from, `+` appended when edited; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():  # an installed package inside somebody's repository is not ours
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
