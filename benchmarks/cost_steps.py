"""The steps that cost_fits.py times: of a search over n candidates, of data of n images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from danas_jax import disk
from danas_jax.config import DataSettings, Limits, SearchSettings
from danas_jax.data import balance
from danas_jax.data.cache import cached_items
from danas_jax.data.sources import folder as folders
from danas_jax.data.sources.base import Source, fingerprint_of
from danas_jax.data.splits import Items, grouped, hold_out
from danas_jax.hardware import cost, population
from danas_jax.metrics import hypervolume, pareto_mask
from danas_jax.search import archive, evolution, feasible, finalists, nsga2, predictor, saved, screening, state, tiers
from danas_jax.search.cache import AccuracyCache
from danas_jax.search.gains import Gains
from danas_jax.spaces import mobilenetv2_tiny

SPACE = mobilenetv2_tiny()
SETTINGS = SearchSettings(population=100)
NEW = 100  # systems of a round
LIMITS = Limits(sram_bytes=10**9)


@dataclass(frozen=True)
class Step:
    """`prepare(n, an empty folder)` makes what is needed, and returns what is timed."""

    unit: str  # candidates or images
    prepare: Callable[[int, Path], Callable[[], object]]
    most: int = 10**6


def genes(count: int) -> np.ndarray:
    """Random systems [count, G]."""
    return SPACE.sample(np.random.default_rng(0), count)


@cache
def figures() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """100,000 systems, their costs, and accuracies that grow with the MACs, give or take."""
    chosen = genes(100_000)
    costs = population.costs(SPACE, chosen, 2)
    noise = np.random.default_rng(1).normal(0, 0.02, len(chosen))
    return chosen, costs, np.clip(0.1 * np.log10(costs["macs"]) + noise, 0, 1)


def objectives(count: int) -> np.ndarray:
    """Error, arena and MACs [count, 3]; beyond 100,000 systems the same costs with other noise."""
    _, costs, accuracy = figures()
    rows = np.arange(count) % len(accuracy)
    noise = np.random.default_rng(2).uniform(0.95, 1.05, (3, count))
    columns = 1 - accuracy[rows], costs["arena_device_bytes"][rows], costs["macs"][rows]
    return np.column_stack(columns) * noise.T


def accuracies(count: int) -> np.ndarray:
    """Random [count]."""
    return np.random.default_rng(3).random(count)


def _known(count: int, folder: Path) -> Callable[[], object]:
    old, new = feasible.Known.of(genes(count)), np.random.default_rng(4).integers(0, 2, (NEW, len(SPACE.axes)))
    return lambda: old.with_more(new[old.fresh_rows(new)])


def _exact(count: int, folder: Path) -> Callable[[], object]:
    rows = genes(count)
    cost._planned.clear()
    return lambda: cost.space_costs(SPACE, rows, 2, "")


def _tell(count: int, folder: Path) -> Callable[[], object]:
    problem = feasible.Problem(SPACE, SPACE.min_genes, SPACE.max_genes, lambda rows: np.zeros(len(rows)))
    told = state.tell(state.init(problem, SETTINGS, 0), genes(NEW), objectives(NEW))
    told = replace(told, known=feasible.Known.of(genes(count)))
    new, scores = SPACE.sample(np.random.default_rng(5), NEW), objectives(NEW)
    return lambda: evolution.ask(state.tell(told, new, scores))


def _gains(count: int, folder: Path) -> Callable[[], object]:
    _, costs, accuracy = figures()
    rows = np.arange(count) % len(accuracy)
    names = SETTINGS.objectives
    corner = np.array([1.0, 10**8, 10**9])[: len(names)]
    gained = Gains(LIMITS, cost.violation, names, corner)
    half = np.clip(accuracy[rows] + np.random.default_rng(6).normal(0, 0.01, count), 0, 1)
    many = {key: column[rows] for key, column in costs.items()}

    def rounds() -> None:
        for start in range(0, count, 1000):
            part = slice(start, start + 1000)
            gained.absorb(half[part], {key: column[part] for key, column in many.items()})

    return rounds


def _fit(count: int, folder: Path) -> Callable[[], object]:
    chosen, _, accuracy = figures()
    return lambda: predictor.fit(SPACE, chosen[:count], accuracy[:count], 0)


def _predict(count: int, folder: Path) -> Callable[[], object]:
    chosen, _, accuracy = figures()
    known, many = predictor.fit(SPACE, chosen[:1000], accuracy[:1000], 0), genes(count)
    return lambda: known.predict(many)


def _save(count: int, folder: Path) -> Callable[[], object]:
    """What a search saves of its rounds."""
    chosen, half = genes(count), accuracies(count)
    header = saved.header(SPACE, SETTINGS, (LIMITS,), 0, 1000, SPACE.min_genes, SPACE.max_genes)

    def save() -> None:
        rounds = [
            {"genes": chosen[i : i + NEW].tolist(), "half": [archive.number(a) for a in half[i : i + NEW]]}
            for i in range(0, count, NEW)
        ]
        disk.write_json(
            folder / "state.json", {**header, "rounds": rounds, "tested": saved.rows({"full": {}})}, compact=True
        )

    return save


def _resume(count: int, folder: Path) -> Callable[[], object]:
    _save(count, folder)()
    header = saved.header(SPACE, SETTINGS, (LIMITS,), 0, 1000, SPACE.min_genes, SPACE.max_genes)
    header = json.loads(json.dumps(header))
    return lambda: saved.read(disk.read_json(folder / "state.json"), header, len(SPACE.axes), ("full",))


def _accuracy_cache(count: int, folder: Path) -> Callable[[], object]:
    many = genes(count)

    def fill() -> None:
        cache_ = AccuracyCache(folder / "a.jsonl", "key").over(lambda rows, tier: accuracies(len(rows)))
        cache_(many, "half")
        AccuracyCache(folder / "a.jsonl", "key")

    return fill


def _evaluations(count: int, folder: Path) -> Callable[[], object]:
    _, costs, _ = figures()
    chosen, half = genes(count), accuracies(count)
    rows = np.arange(count) % len(costs["macs"])
    every = archive.Evaluations(
        chosen, half, half, half, {"": {key: column[rows] for key, column in costs.items()}},
        {"half": 1000.0}, 0,
    )  # fmt: skip
    found = archive.Archive(archive.space_header(SPACE), ("error",), "accuracy", (), {}, every)
    return lambda: archive.evaluations_csv(found, SPACE)


def _rerank(count: int, folder: Path) -> Callable[[], object]:
    scores = objectives(count)
    return lambda: finalists.to_rerank(1 - scores[:, 0], scores[:, 1], scores[:, 2], 1000, 1.0, 20)


def _links(count: int, folder: Path) -> Callable[[], object]:
    """A folder of two classes whose files are links to one small picture, listed, looked at and split."""
    picture = folder / "picture.png"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture)
    root = folder / "data"
    for i in range(2):
        (root / f"c{i}").mkdir(parents=True)
        for j in range(count // 2):
            os.symlink(picture, root / f"c{i}" / f"{j:07d}.png")
    settings = DataSettings(source="folder", path=str(root))
    return lambda: folders.open_source(settings, 4, 0)


def _items(count: int) -> Items:
    keys = tuple(f"c{i % 2}/{i:07d}.png" for i in range(count))
    return Items(keys, (np.arange(count) % 2).astype(np.int32), grouped(keys, [""] * count))


def _split(count: int, folder: Path) -> Callable[[], object]:
    items = _items(count)
    return lambda: hold_out(items, 0.2, 0, "search", ("a", "b"))


def _hash(count: int, folder: Path) -> Callable[[], object]:
    stamps = [(key, 100, 10**18, 10**18) for key in reversed(_items(count).keys)]
    return lambda: fingerprint_of(["/data"], ("a", "b"), sorted(stamps))


def _source(count: int) -> Source:
    example = np.zeros((4, 4, 3), np.uint8)
    shape, kind = example.shape, example.dtype
    return Source(
        ("a", "b"), {"train": _items(count)}, (), "f", "images", shape, kind, lambda key: example, decoding="d"
    )


def _cache_fill(count: int, folder: Path) -> Callable[[], object]:
    source = _source(count)
    return lambda: cached_items(source, source.splits["train"].keys, str(folder / "cache"), None, [])


def _cache_open(count: int, folder: Path) -> Callable[[], object]:
    """The store is there: its digests are checked."""
    work = _cache_fill(count, folder)
    work()
    return work


def _shuffle(count: int, folder: Path) -> Callable[[], object]:
    labels = np.arange(count) % 7
    return lambda: (balance.epoch_order(count, None, 0, 5, 3), balance.epoch_order(count, labels, 0, 5, 3))


def _read_shuffled(count: int, folder: Path) -> Callable[[], object]:
    """An epoch of batches out of the mapped store."""
    rows = _cache_open(count, folder)()[0]
    order = balance.epoch_order(count, None, 0, 5, 0)
    return lambda: [rows[order[i : i + 256]] for i in range(0, count, 256)]


def _of(work: Callable[[np.ndarray], object], made: Callable[[int], np.ndarray]) -> Callable:
    def prepare(count: int, folder: Path) -> Callable[[], object]:
        many = made(count)
        return lambda: work(many)

    return prepare


CANDIDATES, IMAGES = "candidates", "images"
STEPS: dict[str, Step] = {
    "sample": Step(CANDIDATES, lambda n, folder: lambda: genes(n)),
    "cost_tables": Step(CANDIDATES, _of(lambda rows: population.costs(SPACE, rows, 2), genes)),
    "cost_exact": Step(CANDIDATES, _exact),  # every arena planned; a second time they are known
    "dedupe": Step(CANDIDATES, _of(lambda rows: feasible.fresh(rows, rows[: len(rows) // 2]), genes)),
    "insert_100": Step(CANDIDATES, _known),
    "tell_and_ask": Step(CANDIDATES, _tell),
    "first_front": Step(CANDIDATES, _of(pareto_mask, objectives)),
    "best_100": Step(CANDIDATES, _of(lambda scores: screening.best(scores, 100), objectives)),
    "crowding": Step(CANDIDATES, _of(lambda s: nsga2.crowding(s, np.zeros(len(s), np.int64)), objectives)),
    "hypervolume": Step(CANDIDATES, _of(lambda s: hypervolume(s / s.max(0), np.ones(3)), objectives)),
    "gains_by_rounds": Step(CANDIDATES, _gains),
    "predictor_fit": Step(CANDIDATES, _fit, most=100_000),  # 3.6 GB at a million
    "predict": Step(CANDIDATES, _predict),
    "agreement": Step(CANDIDATES, _of(lambda a: tiers.agreement(a, a[::-1]), accuracies)),
    "rerank": Step(CANDIDATES, _rerank),
    "save_state": Step(CANDIDATES, _save, most=300_000),  # as JSON 1 GB of memory at a million
    "resume_state": Step(CANDIDATES, _resume, most=300_000),
    "accuracy_cache": Step(CANDIDATES, _accuracy_cache, most=300_000),
    "evaluations_csv": Step(CANDIDATES, _evaluations),
    "index_folder": Step(IMAGES, _links),
    "hash": Step(IMAGES, _hash),
    "split": Step(IMAGES, _split),
    "cache_fill": Step(IMAGES, _cache_fill),
    "cache_open": Step(IMAGES, _cache_open),
    "shuffle": Step(IMAGES, _shuffle),
    "read_shuffled": Step(IMAGES, _read_shuffled),
}
