"""An exported network on an emulated Cortex-M, against TFLM on the same photographs, from frame to logits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from danas_jax import run
from danas_jax.deploy.firmware import emulator
from danas_jax.deploy.firmware.c_config import Frame, bench_rows
from danas_jax.deploy.firmware.c_layers import plan_arena
from danas_jax.deploy.firmware.project import project
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.deploy.verify import VerificationError, run_tflm
from danas_jax.errors import UserError
from danas_jax.views.frame import text
from danas_jax.views.resize import deployed_view, view_of

IMAGES = 20
ROOM_BYTES = 2**20  # of the emulated flash for network and code


def emulate(tflite: bytes, manifest: dict, model: QuantisedModel, images: np.ndarray, cpu: str) -> dict:
    """Run photographs uint8 [N, H, W, 3] on an emulated `cpu`; returns memory and instructions (docs/firmware.md).

    Raises VerificationError when any logit differs from TFLM's, UserError for photographs too large to be built in.
    """
    frame = Frame((images.shape[1], images.shape[2]))
    images = images[: (emulator.FLASH_BYTES - ROOM_BYTES) // frame.bytes]
    if not len(images):
        raise UserError(f"--emulate: a frame of {text(frame.size_px)} does not fit the emulated board's flash")
    with tempfile.TemporaryDirectory(prefix="danas-emulate-") as name:
        folder = Path(name)
        for path, content in project("bare", tflite, manifest, model, frame, frames=images).items():
            run.write_bytes(folder / path, content)
        emulator.build(folder, cpu)
        found, sizes = emulator.answers(emulator.run(folder, cpu)), emulator.memory(folder)
        emulator.build(folder, cpu, bench=1)
        by_cells = emulator.bench_instructions(emulator.run(folder, cpu))
    wanted = run_tflm(tflite, deployed_view(images, *view_of(manifest["data"])))
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
        "images": len(images),
        **sizes,
        "arena_bytes": plan_arena(model).bytes,
        "frame_bytes": frame.bytes,
        "preprocess_instructions": int(found.preprocess_instructions.max()),
        "network_instructions": int(found.network_instructions.max()),
        "layers": layers,
    }
