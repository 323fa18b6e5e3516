"""An exported network on an emulated Cortex-M, against TFLM on the same examples, from raw numbers to logits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from danas_jax import disk
from danas_jax.deploy.examples import network_input
from danas_jax.deploy.firmware import emulator
from danas_jax.deploy.firmware.c_config import bench_rows
from danas_jax.deploy.firmware.c_layers import plan_arena
from danas_jax.deploy.firmware.front_ends import front_end_of
from danas_jax.deploy.firmware.project import project
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.deploy.verify import VerificationError, run_tflm
from danas_jax.errors import UserError

EXAMPLES = 20
ROOM_BYTES = 2**20  # of the emulated flash for network and code


def emulate(tflite: bytes, manifest: dict, model: QuantisedModel, raw: np.ndarray, cpu: str) -> dict:
    """Run raw examples [N, ...] on an emulated `cpu`; returns memory and instructions (docs/firmware.md).

    Raises VerificationError when any logit differs from TFLM's, UserError for examples too large to be built in.
    """
    source = network_input(manifest["data"])
    front_end = front_end_of(source, raw.shape[1:])
    raw = raw[: (emulator.FLASH_BYTES - ROOM_BYTES) // front_end.bytes]
    if not len(raw):
        raise UserError(f"--emulate: {front_end.noun} of {front_end.bytes} bytes do not fit the emulated board's flash")
    with tempfile.TemporaryDirectory(prefix="danas-emulate-") as name:
        folder = Path(name)
        examples = front_end.examples(raw)
        for path, content in project("bare", tflite, manifest, model, front_end, examples=examples).items():
            disk.write_bytes(folder / path, content)
        emulator.build(folder, cpu)
        found, sizes = emulator.answers(emulator.run(folder, cpu)), emulator.memory(folder)
        emulator.build(folder, cpu, bench=1)
        by_cells = emulator.bench_instructions(emulator.run(folder, cpu))
    wanted = run_tflm(tflite, source.deployed(raw))
    if found.logits.shape != wanted.shape or (found.logits != wanted).any():
        raise VerificationError(
            f"the emulated {cpu} and TFLM differ: logits {found.logits.tolist()} and {wanted.tolist()}"
        )
    rows, row_of_layer = bench_rows(model)
    layers = [
        {"name": layer.spec.name, "layer": rows[row], "macs": layer.spec.macs, "instructions": by_cells[rows[row]]}
        for layer, row in zip(model.layers, row_of_layer, strict=True)
    ]
    return {
        "cpu": cpu,
        "images": len(raw),
        **sizes,
        "arena_bytes": plan_arena(model).bytes,
        "front_end_bytes": sum(front_end.ram(model).values()),
        "preprocess_instructions": int(found.preprocess_instructions.max()),
        "network_instructions": int(found.network_instructions.max()),
        "layers": layers,
    }
