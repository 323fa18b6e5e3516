"""Configurations that several test files take."""

import dataclasses

from danas_jax.config import Baseline, Config, Limits, TrainStage
from danas_jax.views.image import ImageData

FULL = Config(
    name="full",
    budgets=(Limits(sram_bytes=65536, latency_ms=12.5), Limits(macs=10**6, board="nano33ble")),
    baselines=(Baseline(name="b", data=ImageData(64, "mono")),),
)


def staged(*rows):
    return dataclasses.replace(FULL, train=dataclasses.replace(FULL.train, stages=tuple(TrainStage(*r) for r in rows)))


STAGED = staged((0.25, ()), (0.5, ("resolution", "kernel")), (0.75, ("kernel", "resolution", "depth")))
