"""The measuring process of `bench data`: pictures decoded into a store, fed from it, viewed and trained on.

python -m danas_jax.bench.data SETTINGS_AS_JSON FOLDER_OF_PICTURES STORE_FOLDER
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import cached_property, lru_cache

import jax
import numpy as np

from danas_jax.bench import work
from danas_jax.bench.device import Supernet
from danas_jax.bench.workers import serve
from danas_jax.config import DataSettings, TrainSettings
from danas_jax.data.dataset import Data, Split, open_data
from danas_jax.data.feed import Feed, Resident
from danas_jax.devices import Devices
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import batch_program

BATCHES = 200  # gathered and sent in a turn of `feed`
VIEWED = 20  # batches in a turn of `view`
STEPS = 8  # training steps of a turn, after as many that compile and fill the queue


class Pictures:
    """A folder of pictures, and its answers to the requests of `danas_jax.bench.command`."""

    def __init__(self, settings: work.Settings, folder: str, store: str):
        self.settings, self.folder, self.store = settings, folder, store
        self.recipe = TrainSettings(epochs=10_000, batch_size=settings.batch)

    def _open(self) -> Data:
        source = DataSettings(source="folder", path=self.folder, cache_dir=self.store)
        return open_data(source, self.settings.resolution_px, self.settings.seed)

    def build(self) -> dict:
        """Decoding the pictures into the store, which is empty before; then checking it, as each run does."""
        decoded = [0]
        data, again = self._open(), self._open()  # the lists of files are not what is measured
        started, worked = time.perf_counter(), _cpu_s()
        split = data.load("train", "train", lambda done, total: decoded.append(total))
        seconds, worked = time.perf_counter() - started, _cpu_s() - worked
        pictures = decoded[-1]  # whole blocks: also of other splits
        started = time.perf_counter()
        again.load("train", "train")
        checked = time.perf_counter() - started
        return {
            "pictures": pictures,
            "decoded_per_s": pictures / seconds,
            "decode_cpu_ms": 1e3 * worked / pictures,
            "check_gb_per_s": pictures * split.raw.nbytes / len(split) / checked / 1e9,
        }

    @cached_property
    def _split(self) -> Split:
        return self._open().load("train", "train")

    @cached_property
    def _plan(self) -> Plan:
        space = self.settings.search_space
        return Plan(space, self.recipe, (space.min_genes, space.max_genes), len(self._split), self.settings.seed)

    def _feed(self, resident: Resident, steps: int) -> Feed:
        return Feed(self._split.raw, lru_cache(maxsize=steps)(self._plan.rows), steps, resident)

    def feed(self) -> dict:
        """Batches in the order of a training, from the store to the device, with nothing else to do."""
        feed = self._feed("never", BATCHES)
        started = time.perf_counter()
        for step in range(BATCHES):
            jax.block_until_ready(feed.batch(step)[0])
        seconds = time.perf_counter() - started
        feed.close()
        return {"fed_per_s": BATCHES * self.settings.batch / seconds}

    @cached_property
    def _batch(self) -> Callable:
        space = self.settings.search_space
        program = batch_program(space, self.recipe, self._split.labels, self.settings.num_classes, Devices(None))
        shape = self._plan.largest_shape(space.max_genes)
        labels = jax.device_put(self._split.labels)
        return lambda raw, rows, places, view: program(raw, labels, self.settings.seed, rows, places, view, shape)

    def view(self) -> dict:
        """Training views and targets of a batch of resident pictures."""
        feed = self._feed("always", VIEWED)
        seconds = []
        for view in range(VIEWED + 1):
            raw, places = feed.batch(0)
            started = time.perf_counter()
            jax.block_until_ready(self._batch(raw, places, places, view))
            seconds.append(time.perf_counter() - started)
        return {"view_ms": 1e3 * float(np.mean(seconds[1:]))}  # the first one compiles

    @cached_property
    def _supernet(self) -> Supernet:
        return Supernet(self.settings)

    def train(self) -> dict:
        """Training steps on streamed pictures, once warm: how long one takes, which share of it waits for pictures."""
        feed, supernet, waited, started = self._feed("never", 2 * STEPS), self._supernet, 0.0, 0.0
        for step in range(2 * STEPS):
            if step == STEPS:
                jax.block_until_ready(supernet.weights)
                waited, started = feed.waited_s, time.perf_counter()
            raw, places = feed.batch(step)
            supernet.views, supernet.targets = self._batch(raw, self._plan.rows(step), places, 0)
            supernet.step()
        jax.block_until_ready(supernet.weights)
        seconds = time.perf_counter() - started
        feed.close()
        return {
            "step_ms": 1e3 * seconds / STEPS,
            "images_per_s": STEPS * self.settings.batch / seconds,
            "waiting_share": (feed.waited_s - waited) / seconds,
        }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Answer requests until standard input ends."""
    pictures = Pictures(work.Settings.from_json(sys.argv[1]), *sys.argv[2:])
    serve({name: getattr(pictures, name) for name in ("build", "feed", "view", "train")})


if __name__ == "__main__":
    main()
