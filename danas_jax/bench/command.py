"""`danas bench`: parse, let processes of their own measure, put the figures together, print (no jax)."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from danas_jax.bench.machine import machine
from danas_jax.bench.pictures import make_pictures
from danas_jax.bench.work import DATA, Settings, known_spaces, largest_layers, write_work
from danas_jax.bench.workers import Worker
from danas_jax.config import DataSettings, TrainSettings
from danas_jax.data.sources.folder import open_source
from danas_jax.errors import UserError
from danas_jax.layers import total_macs

SCHEMA_VERSION = 1
PARTS = ("supernet", "evaluate", "cost", "search", "data")
ALL = ("supernet", "cost", "search")  # without a part: "evaluate" is a share of "supernet", "data" takes minutes
BASELINE = Path(__file__).resolve().parents[2] / "benchmarks" / "torch_baseline.py"
TURNS = 3  # measurements of one side alone; figures are their medians
ALTERNATIONS = 5  # of the two sides of a comparison
# ratio -> (key, whether the key is a rate): the time that ours takes over the time that the other takes
RATIOS = {
    "sandwich_ratio": ("sandwich_step_ms", False),
    "evaluate_ratio": ("evaluate_forward_ms", False),
    "subnets_ratio": ("subnets_per_s", True),
}
Note = Callable[[str], None]


class Side(Protocol):
    """Something that measures when it is asked: a Worker."""

    def ask(self, request: str) -> dict:
        """The answer to one request."""
        ...


def bench(arguments: list[str]) -> dict:
    """Run `danas bench` with these arguments, print the result, and return it (what --json prints)."""
    options = _parse(arguments)
    dtype = "bfloat16" if options.bf16 else "float32"
    settings = Settings(options.space, options.width_multiplier, options.batch, options.resolution_px, dtype)
    note: Note = (lambda text: None) if options.json else (lambda text: print(text, file=sys.stderr, flush=True))
    result = {
        "schema_version": SCHEMA_VERSION,
        "part": options.part or "all",
        "machine": machine() | {"jax_version": importlib.metadata.version("jax")},
        "settings": asdict(settings),
        "max_macs": total_macs(largest_layers(settings)),
    }
    if options.against:
        result |= _against_torch(settings, note)
    else:
        for part in (options.part,) if options.part else ALL:
            note(f"measuring {part}")
            if part == "data":
                result |= _data(settings, options.path, note)
            else:
                result |= _host(settings, part) if part in ("cost", "search") else _device(settings, part, note)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        _print_table(result)
    return result


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "danas bench",
        allow_abbrev=False,
        description="Measure this machine; docs/bench.md says what each figure means.",
    )
    parser.add_argument("part", nargs="?", default="", help=f"{', '.join(PARTS)}; without it {', '.join(ALL)}")
    parser.add_argument("--space", help=", ".join(known_spaces()))
    parser.add_argument("--width-multiplier", type=float, help="of the space's widths (0.5 where it takes one)")
    parser.add_argument("--batch", type=int, help="images per step")
    parser.add_argument("--resolution-px", type=int, help="the space's one resolution")
    parser.add_argument("--against", default="", metavar="torch", help="alternate with the PyTorch baseline (supernet)")
    parser.add_argument("--path", default="", help="data: a folder of pictures, as data.path (made where left out)")
    parser.add_argument("--bf16", action="store_true", help="sandwich steps in bfloat16")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    if options.part and options.part not in PARTS:
        near = difflib.get_close_matches(options.part, PARTS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown part {options.part!r} of danas bench: {hint}there are {', '.join(PARTS)}")
    if options.against not in ("", "torch"):
        raise UserError(f"--against = {options.against!r}: the only baseline is torch")
    if options.against and options.part != "supernet":
        raise UserError("--against compares supernets: danas bench supernet --against torch")
    if options.bf16 and options.part not in ("", "supernet"):
        raise UserError(f"--bf16: {options.part} has no training step, give it to danas bench supernet")
    for name in DATA:
        if getattr(options, name) is None:
            setattr(options, name, (DATA if options.part == "data" else vars(Settings))[name])
    if options.path and options.part != "data":
        raise UserError(f"--path = {options.path!r}: only danas bench data reads pictures")
    if options.against:
        _find_torch()
    return options


def _find_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise UserError("--against torch: torch is not installed here: pip install 'danas_jax[bench]'")
    if not BASELINE.is_file():
        raise UserError(
            "--against torch: the baseline benchmarks/torch_baseline.py is in the source tree, not in the installed "
            "package: run it in a checkout after pip install -e '.[bench]'"
        )


def _ours(settings: Settings, cache: str) -> Worker:
    """Our measuring process, with `cache` as its folder of compiled programs."""
    command = [sys.executable, "-m", "danas_jax.bench.device", settings.to_json()]
    return Worker(command, {"JAX_COMPILATION_CACHE_DIR": cache})


def _cold(settings: Settings, cache: str, request: str, note: Note) -> dict:
    note("cold start: compiling with an empty cache")
    with _ours(settings, cache) as worker:
        return {"compile_cold_s": worker.ask(request)["seconds"]}


def _warm(worker: Worker, request: str) -> dict:
    seconds = worker.ask(request)["seconds"]
    return {"compile_warm_s": seconds, "start_warm_s": worker.age_s}


def _device(settings: Settings, part: str, note: Note) -> dict:
    """The figures of `supernet` (training and evaluation) or `evaluate` alone."""
    first = "first_step" if part == "supernet" else "first_evaluation"
    with tempfile.TemporaryDirectory(prefix="danas-bench-") as cache:
        figures = _cold(settings, cache, first, note)
        with _ours(settings, cache) as worker:
            note("warm start, then turns")
            figures |= _warm(worker, first)
            if part == "supernet":
                figures |= medians([worker.ask("train") for _ in range(TURNS)])
                worker.ask("first_evaluation")
            figures |= medians([worker.ask("evaluate") for _ in range(TURNS)])
            return figures | worker.ask("facts")


def _host(settings: Settings, part: str) -> dict:
    """The figures of `cost` or `search`."""
    with Worker([sys.executable, "-m", "danas_jax.bench.host", settings.to_json()]) as worker:
        return worker.ask(part)


def _data(settings: Settings, path: str, note: Note) -> dict:
    """The figures of `data`, of the pictures in `path` or of ones that are made."""
    if path:
        open_source(DataSettings(source="folder", path=path), settings.resolution_px, settings.seed)  # what is wrong
    with tempfile.TemporaryDirectory(prefix="danas-bench-") as folder:
        pictures, store = Path(path or Path(folder, "pictures")).expanduser(), Path(folder, "store")
        if not path:
            note("making pictures")
            pictures.mkdir()
            make_pictures(pictures)
        command = [sys.executable, "-m", "danas_jax.bench.data", settings.to_json(), str(pictures), str(store)]
        with Worker(command) as worker:
            figures = {}
            for part, turns in (("build", 1), ("feed", TURNS), ("view", TURNS), ("train", TURNS)):
                note(f"measuring {part}")
                figures |= medians([worker.ask(part) for _ in range(turns)])
            return figures


def _against_torch(settings: Settings, note: Note) -> dict:
    """Our figures, the baseline's under "torch", the ratios, and what every turn measured."""
    recipe = TrainSettings()
    shared = {
        key: getattr(recipe, key) for key in ("learning_rate", "weight_decay", "gradient_clip", "label_smoothing")
    }
    with tempfile.TemporaryDirectory(prefix="danas-bench-") as folder:
        path = Path(folder, "work.npz")
        cache = str(Path(folder, "cache"))
        ours = _cold(settings, cache, "first_step", note)
        command = [
            sys.executable,
            str(BASELINE),
            str(path),
            *(["--bf16"] if settings.compute_dtype == "bfloat16" else []),
        ]
        with contextlib.ExitStack() as stack:
            we = stack.enter_context(_ours(settings, cache))
            ours |= _warm(we, "first_step")
            write_work(path, settings, we.ask("genes")["sandwiches"], shared)
            torch = stack.enter_context(Worker(command))
            seconds = torch.ask("first_step")["seconds"]
            theirs = {"compile_cold_s": seconds, "compile_warm_s": seconds}
            for side in (we, torch):
                side.ask("first_evaluation")
            turns = alternate(we, torch, ALTERNATIONS, note)
            ours |= medians([turn["ours"] for turn in turns]) | we.ask("facts")
            theirs |= medians([turn["torch"] for turn in turns]) | torch.ask("facts")
    return {**ours, "torch": theirs, **ratios(turns), "turns": turns}


def alternate(ours: Side, torch: Side, count: int, note: Note = lambda text: None) -> list[dict]:
    """`count` pairs of measurements {"ours", "torch"}; only one side computes at any time."""
    turns = []
    for i in range(count):
        turns.append(
            {name: side.ask("train") | side.ask("evaluate") for name, side in (("ours", ours), ("torch", torch))}
        )
        note(
            f"turn {i + 1} of {count}: " + ", ".join(f"{key} {value:.2f}" for key, value in ratios(turns[-1:]).items())
        )
    return turns


def ratios(turns: Sequence[dict]) -> dict[str, float]:
    """Median over the turns of our time / torch's time, per name in RATIOS; below 1 we are faster."""
    result = {}
    for name, (key, rate) in RATIOS.items():
        pairs = [(turn["ours"][key], turn["torch"][key]) for turn in turns]
        result[name] = statistics.median(torch / ours if rate else ours / torch for ours, torch in pairs)
    return result


def medians(measured: Sequence[dict]) -> dict[str, float]:
    """The median of every key over several measurements."""
    return {key: statistics.median(one[key] for one in measured) for key in measured[0]}


def _text(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _print_table(result: dict) -> None:
    """The figures, one a line; with a baseline in two columns, and the ratios below."""
    other = result.get("torch", {})
    skip = {"schema_version", "machine", "settings", "torch", "turns", "part"}
    settings, machine = result["settings"], result["machine"]
    print(
        f"{settings['space']} x {settings['width_multiplier']:g}, batch {settings['batch']}, "
        f"{settings['resolution_px']} px; {machine['processor']}, {machine['cpus']} CPUs, jax {machine['jax_version']}"
    )
    if other:
        print(f"{'':<22}{'danas_jax':>24}{'torch':>24}")
    for key in [key for key in result if key not in skip] + [key for key in other if key not in result]:
        columns = [_text(side.get(key, "")) for side in ((result, other) if other else (result,))]
        print(f"{key:<22}" + "".join(f"{column:>24}" for column in columns).rstrip())
