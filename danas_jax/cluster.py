"""Which hosts belong to one run, read from what SLURM, a TPU pod or Kubernetes put into the environment. No jax."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from danas_jax.errors import UserError

SWITCH = "DANAS_HOSTS"  # "off": a run of this process alone, whatever the rest of the environment says
_OWN = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_TPU = ("TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID")
_SLICES = ("MEGASCALE_COORDINATOR_ADDRESS", "MEGASCALE_NUM_SLICES", "MEGASCALE_SLICE_ID")
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
_TPU_PORT = 8476
_SLURM_PORTS = range(61440, 65536)  # above those that Linux gives away; chosen by the job's number


@dataclass(frozen=True)
class Cluster:
    """The processes of one run: `count` of them, this one is number `index`, the first one is at `coordinator`."""

    kind: str  # what told it: "jax", "tpu", "slurm"
    coordinator: str  # host:port
    count: int
    index: int


def cluster_of(environ: Mapping[str, str], warn: Callable[[str], None] = lambda text: None) -> Cluster | None:
    """The cluster that a complete set of variables describes, None for a single process.

    A set of which a part is missing is ignored, and `warn` hears which. UserError on values that cannot be.
    """
    switch = environ.get(SWITCH, "")
    if switch not in ("", "off", "on"):
        raise UserError(f"${SWITCH} = {switch!r}: give on or off")
    if switch == "off":
        return None
    found = next((c for find in (_own, _tpu, _slurm) if (c := find(environ, warn))), None)
    return found if found and found.count > 1 else None


def _own(environ: Mapping[str, str], warn: Callable[[str], None]) -> Cluster | None:
    # JAX_COORDINATOR_ADDRESS alone may be there for a program that has the other two as arguments.
    if not _complete(environ, _OWN, warn):
        return None
    address, count, index = (environ[name] for name in _OWN)
    return _cluster("jax", address, count, index, _OWN[1:])


def _tpu(environ: Mapping[str, str], warn: Callable[[str], None]) -> Cluster | None:
    if not _complete(environ, _TPU, warn):
        return None
    names = environ[_TPU[0]].split(",")
    here = _cluster("tpu", f"{names[0]}:{_TPU_PORT}", str(len(names)), environ[_TPU[1]], _TPU)
    if not _complete(environ, _SLICES, warn):
        return here
    address, count, index = (environ[name] for name in _SLICES)
    slices = _cluster("tpu", address, count, index, _SLICES[1:])
    coordinator = f"{address.rpartition(':')[0] or address}:{_TPU_PORT}"
    return Cluster("tpu", coordinator, slices.count * here.count, slices.index * here.count + here.index)


def _slurm(environ: Mapping[str, str], warn: Callable[[str], None]) -> Cluster | None:
    # Those of a step: outside of srun there are SLURM_NTASKS and SLURM_PROCID, too, but only one process.
    if environ.get("SLURM_STEP_NUM_TASKS", "1") == "1" or not _complete(environ, _SLURM, warn):
        return None
    job, nodes, count, index = (environ[name] for name in _SLURM)
    port = _SLURM_PORTS[_number("SLURM_JOB_ID", job) % len(_SLURM_PORTS)]
    return _cluster("slurm", f"{first_node(nodes)}:{port}", count, index, _SLURM[2:])


def _complete(environ: Mapping[str, str], names: tuple[str, ...], warn: Callable[[str], None]) -> bool:
    missing = [name for name in names if not environ.get(name)]
    if missing and len(missing) < len(names):
        there = ", ".join(name for name in names if name not in missing)
        warn(f"{there} without {', '.join(missing)}: ignored, this run is of one host")
    return not missing


def _cluster(kind: str, address: str, count: str, index: str, names: tuple[str, str] | tuple[str, ...]) -> Cluster:
    processes, number = _number(names[0], count), _number(names[1], index)
    if not number < processes:
        raise UserError(f"${names[1]} = {number}: there are {processes} processes, give 0 to {processes - 1}")
    return Cluster(kind, address, processes, number)


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"${name} = {text!r}: give a whole number")
    return int(text)


def first_node(nodes: str) -> str:
    """The first host of SLURM's list: `gpu[007-009,12],login` -> `gpu007`."""
    match = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodes)
    if not match:
        raise UserError(f"$SLURM_STEP_NODELIST = {nodes!r}: no host's name")
    before, number, after = match.groups(default="")
    return before + number + after
