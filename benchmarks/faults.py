"""Fault campaign: runs are killed, stopped, starved of disk and damaged, and must end as a run that nobody disturbed.

Every run is the quickstart's smoke job with checkpoints at every step. A run suffers several faults of one kind, is
started again by the same command after each, and at its end summary.json (but for times) and every exported file must
equal the undisturbed run's. What a run suffers is a function of (seed, kind, number), so that one line repeats it; a
run that is in the table already is not repeated.

    python benchmarks/faults.py --kill 40 --term 10 --disk 20 --damage 20 --write 10 --out benchmarks/results/faults.csv
    python benchmarks/faults.py --kill 1 --first 17 --keep         # run 17 of that kind again, its folder kept

Kinds: kill = 5 x SIGKILL at random moments of random phases; term = 5 x SIGTERM, which must end with exit code 3;
disk = a file system that is too small, then larger (root only); damage = SIGKILL, then a checkpoint's file cut, flipped
or removed, twice; write = SIGKILL in the middle of writing a file, twice.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

COMMAND = (
    "run", "quickstart", "--smoke", "--run-dir", "run", "--train.checkpoint-every-s", "0",
    "--retrain.epochs", "3", "--export.qat-epochs", "2",
)  # fmt: skip
PHASES = ("train", "search", "retrain", "export", "report")
FAULTS = {"kill": 5, "term": 5, "disk": 1, "damage": 2, "write": 2}  # of one run
FIELDS = ("kind", "number", "seed", "faults", "where", "ends_as_undisturbed", "what_differs", "time_s")
PATIENCE_S = 600.0  # for one process, which takes seconds alone
# Runs danas; dies in the middle of writing the file whose number (of all that are renamed into place) is given.
_DANAS = """
import os, signal, sys
from danas_jax import cli
dies_at, renamed = int(sys.argv[1]), 0
def dying(real):
    def rename(source, target, **keywords):
        global renamed
        renamed += 1
        if renamed == dies_at:
            if os.path.isfile(source):
                os.truncate(source, os.path.getsize(source) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(source, target, **keywords)
    return rename
os.replace, os.rename = dying(os.replace), dying(os.rename)
code = cli.main(sys.argv[2:])
print("renamed", renamed)
sys.exit(code)
"""


@dataclass(frozen=True)
class Undisturbed:
    """What every run must end as, and what faults are aimed by."""

    files: dict[str, str]  # digest by name
    phases_s: dict[str, float]  # how long each phase takes
    startup_s: float
    renamed: int  # files written
    size_bytes: int


def start(folder: Path, dies_at: int = 0) -> subprocess.Popen:
    """The command, in `folder`; its output goes to a file there, which a full disk does not hold."""
    with open(f"{folder}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", _DANAS, str(dies_at), *COMMAND], cwd=folder, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )  # fmt: skip


def finished(process: subprocess.Popen) -> int:
    """Its exit code; one that hangs is killed and raises."""
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def results(folder: Path) -> dict[str, str]:
    """Digests of what a run hands over: its summary without times and every exported file."""
    run = folder / "run"
    summary = json.loads((run / "summary.json").read_text())
    del summary["times_s"]
    contents = {"summary.json": json.dumps(summary, sort_keys=True).encode()}
    for path in sorted(run.glob("export/*/model.*")):
        contents[str(path.relative_to(run))] = path.read_bytes()
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def undisturbed(folder: Path) -> Undisturbed:
    """The run that nobody disturbs, the second of two: the first one compiles."""
    for name in ("compiling", "undisturbed"):
        (folder / name).mkdir()
        started = time.monotonic()
        code = finished(start(folder / name))
        took_s = time.monotonic() - started
        log = Path(f"{folder / name}.log").read_text()
        if code:
            raise SystemExit(f"the undisturbed run ends with exit code {code}:\n{log}")
    run = folder / "undisturbed" / "run"
    marks = {phase: run / ".phases" / f"{phase}.json" for phase in PHASES[:-1]}
    phases_s = {phase: float(json.loads(path.read_text())["time_s"]) for phase, path in marks.items()}
    rest_s = max(1.0, took_s - sum(phases_s.values()))
    size_bytes = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    return Undisturbed(
        results(folder / "undisturbed"), {**phases_s, "report": rest_s / 4}, rest_s / 2,
        int(log.rsplit("renamed", 1)[1]), size_bytes,
    )  # fmt: skip


def phase_of(folder: Path) -> str:
    """The phase that the run in `folder` is in."""
    done = [(folder / "run" / ".phases" / f"{phase}.json").exists() for phase in PHASES[:-1]]
    return PHASES[done.index(False)] if False in done else "report"


def interrupted(folder: Path, random: Random, of: Undisturbed, number: signal.Signals, phases: list[str]) -> str | None:
    """Send the signal at a random moment of the first of `phases` to come; where it hit, None if it came late."""
    process, first = start(folder), phase_of(folder)
    target = next((phase for phase in phases if PHASES.index(phase) >= PHASES.index(first)), None)
    if target is None:
        finished(process)
        return None
    while process.poll() is None and phase_of(folder) != target:
        time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random.uniform(0, of.phases_s[target] + (of.startup_s if target == first else 0)))
    while number == signal.SIGTERM and process.poll() is None and not listens(process):
        time.sleep(0.005)  # Python itself is starting: nobody can answer yet
    if process.poll() is not None:
        return None
    where = phase_of(folder)
    process.send_signal(number)
    code = finished(process)
    right = (3, *((0,) if where == "report" else ())) if number == signal.SIGTERM else (-signal.SIGKILL,)
    if code not in right:  # 0: it had just finished
        raise Wrong(f"exit code {code} after {number.name} in {where}")
    return where if code else None


def listens(process: subprocess.Popen) -> bool:
    """Whether the process handles SIGTERM (Linux)."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text()
        return bool(int(re.findall(r"SigCgt:\s*(\w+)", status)[0], 16) >> (signal.SIGTERM - 1) & 1)
    return False


class Wrong(Exception):
    """What a run did that it should not."""


def signals(folder: Path, random: Random, of: Undisturbed, count: int, number: signal.Signals) -> Iterator[str]:
    """Interrupt it that often; where each time."""
    phases = sorted(random.choices(PHASES, k=count), key=PHASES.index)
    for i in range(count):
        where = interrupted(folder, random, of, number, phases[i:])
        if where is None:
            return  # it is finished
        yield where


def damage(folder: Path, random: Random, of: Undisturbed, count: int) -> Iterator[str]:
    """Kill it where it has checkpoints and damage one of their files."""
    for phase in sorted(random.choices(("train", "retrain", "export"), k=count), key=PHASES.index):
        if interrupted(folder, random, of, signal.SIGKILL, [phase]) is None:
            return
        files = [p for p in folder.rglob("*") if p.is_file() and {"checkpoints", "qat"} & set(p.parts)]
        if not files:
            continue
        path, how = random.choice(sorted(files)), random.choice(("cut", "flipped", "removed"))
        content = bytearray(path.read_bytes())
        if how == "removed":
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[: random.randrange(max(1, len(content)))])
        else:
            for _ in range(8):
                if content:
                    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            path.write_bytes(content)
        yield f"{phase}: {how} {path.relative_to(folder / 'run')}"


def torn(folder: Path, random: Random, of: Undisturbed, count: int) -> Iterator[str]:
    """Die in the middle of writing a file."""
    for _ in range(count):
        code = finished(start(folder, dies_at=random.randint(1, of.renamed // count)))
        if code not in (0, -signal.SIGKILL):
            raise Wrong(f"exit code {code} after a torn write")
        if code:
            yield phase_of(folder)


def full_disk(folder: Path, random: Random, of: Undisturbed, count: int) -> Iterator[str]:
    """Run it on a file system that is too small, which grows when it fails."""
    size = int(of.size_bytes * random.uniform(0.02, 0.9))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "danas-faults", str(folder)]
    subprocess.run(mount, check=True)
    code = finished(start(folder))
    said = Path(f"{folder}.log").read_text()
    if code not in (0, 2) or (code == 2 and "disk full" not in said):
        raise Wrong(f"exit code {code} on a full disk: {said[-300:]}")
    if code:
        yield f"{phase_of(folder)}: {size} of {of.size_bytes} bytes"
    subprocess.run(["mount", "-o", f"remount,size={20 * of.size_bytes}", str(folder)], check=True)


KINDS: dict[str, Callable[..., Iterator[str]]] = {
    "kill": partial(signals, number=signal.SIGKILL),
    "term": partial(signals, number=signal.SIGTERM),
    "disk": full_disk,
    "damage": damage,
    "write": torn,
}


def disturbed(kind: str, number: int, seed: int, root: Path, of: Undisturbed, keep: bool) -> dict:
    """One run with its faults: a row of the table."""
    folder, started, where = root / f"{kind}{number}", time.monotonic(), []
    folder.mkdir()
    try:
        for hit in KINDS[kind](folder, Random(f"{seed} {kind} {number}"), of, FAULTS[kind]):
            where.append(hit)
        code = finished(start(folder))
        if code:
            raise Wrong(f"exit code {code} at its end: {Path(f'{folder}.log').read_text()[-500:]}")
        found = results(folder)
        differs = ", ".join(sorted(n for n in {**found, **of.files} if found.get(n) != of.files.get(n)))
    except (Wrong, OSError, ValueError, subprocess.SubprocessError) as error:
        differs = f"{type(error).__name__}: {error}"
    if kind == "disk":
        subprocess.run(["umount", str(folder)], check=False)
    if not keep and not differs:
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"{folder}.log").unlink(missing_ok=True)
    return {
        "kind": kind,
        "number": number,
        "seed": seed,
        "faults": len(where),
        "where": "; ".join(where),
        "ends_as_undisturbed": not differs,
        "what_differs": " ".join(differs.split()),
        "time_s": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Run what the arguments ask for; exit code 1 where a run ends otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="RUNS", help=f"{FAULTS[kind]} faults each")
    parser.add_argument("--first", type=int, default=0, help="number of the first run of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, help="a table, added to")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs; else of the wrong ones")
    options = parser.parse_args()
    old = options.out.read_text() if options.out and options.out.exists() else ""
    rows: list[dict] = list(csv.DictReader(old.splitlines()))
    known = {(row["kind"], int(row["number"]), int(row["seed"])) for row in rows}
    numbers = {kind: range(options.first, options.first + getattr(options, kind)) for kind in KINDS}
    jobs = [(kind, i) for kind in KINDS for i in numbers[kind] if (kind, i, options.seed) not in known]
    root = Path(tempfile.mkdtemp(prefix="danas-faults-"))
    of = undisturbed(root)
    print(f"undisturbed: {json.dumps(of.phases_s)}, {of.renamed} files written, {of.size_bytes:,} bytes; {root}")

    def work(job: tuple[str, int]) -> dict:
        return disturbed(*job, options.seed, root, of, options.keep)

    with ThreadPoolExecutor(options.workers) as pool:
        for row in pool.map(work, jobs):
            rows.append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            if options.out:
                write(options.out, rows)
    faults = Counter(dict.fromkeys(KINDS, 0))
    for row in rows:
        faults[row["kind"]] += int(row["faults"])
    wrong = [f"{row['kind']} {row['number']}" for row in rows if str(row["ends_as_undisturbed"]) != "True"]
    print(f"{len(rows)} runs with faults {dict(faults)}; not as undisturbed: {', '.join(wrong) or 'none'}")
    if not wrong and not options.keep:
        shutil.rmtree(root)
    sys.exit(bool(wrong))


def write(path: Path, rows: list[dict]) -> None:
    """The table, whole."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
