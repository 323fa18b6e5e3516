"""What `danas doctor` asks of a fresh process, so that a crash or a hang is an answer, too: a JSON object on stdout."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path


def devices() -> dict:
    """{"backend", "devices": their kinds}."""
    import jax

    found = [f"{device.platform} {device.device_kind} (id {device.id})" for device in jax.devices()]
    return {"backend": jax.default_backend(), "devices": found}


def program() -> dict:
    """Compile a small program with the cache on; {"loaded": out of it, "result"}."""
    import jax
    import jax.numpy as jnp

    from danas_jax import runtime

    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    runtime.keep_compiled_programs()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    result = jax.jit(lambda x: jnp.tanh(x @ x.T).sum())(jnp.ones((32, 16), jnp.float32))
    loaded = any(event.endswith("/cache_hits") for event in events)
    return {"loaded": loaded, "result": float(result)}


def network() -> dict:
    """A random network on TFLM and by the integer simulation; VerificationError where they differ."""
    import numpy as np

    from danas_jax.deploy.tflite_writer import random_model, write_tflite
    from danas_jax.deploy.verify import verify

    layers = _space().layers(_space().min_genes, 3)
    model = random_model(layers)
    images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape)).astype(np.uint8)
    proof = verify(write_tflite(model, {}), model, images)
    return {key: proof[key] for key in ("arena_bytes", "file_bytes", "operators")}


def step() -> dict:
    """A step of a tiny supernet on random pictures; {"loss", "step_s": with compiling}."""
    import numpy as np

    from danas_jax.config import TrainSettings
    from danas_jax.data.dataset import Split
    from danas_jax.supernet.checkpoint import Checkpoints
    from danas_jax.supernet.train import train

    space, rng, log = _space(), np.random.default_rng(0), []
    side = max(space.view.resolutions_px)
    raw = rng.integers(0, 256, (8, side, side, 3), np.uint8)
    split = Split(raw, np.arange(8, dtype=np.int32) % 2, tuple(map(str, range(8))))
    settings = TrainSettings(epochs=1, batch_size=8, random_subnets=1, calibration_images=8)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Path(folder)) as saved:
        train(space, settings, (space.min_genes, space.max_genes), split, 2, 0, saved, log.append)
    return {"loss": log[-1]["loss"], "step_s": time.perf_counter() - began}


def _space():
    from danas_jax import config_io, overrides

    return overrides.smoke(config_io.load_config("quickstart")).space


PROBES = {probe.__name__: probe for probe in (devices, program, network, step)}


def main(name: str) -> None:
    """Answer one probe. What libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(PROBES[name]()), file=out, flush=True)
