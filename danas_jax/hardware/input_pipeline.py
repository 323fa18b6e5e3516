"""What it costs to turn a camera's frame into the network's input on the board: bytes and milliseconds.

Counted where `limits.count_input_pipeline` says that the camera (or microphone, or sensor) hangs on the board. What
follows is of pictures; sound and series are independent of the camera, their views say what they take (views/).

The arithmetic is that of the deployed view (views/resize.py): area resize from S to R px with C channels, then grey
where a colour frame meets a mono network, then pixel - 128 into the input tensor (which is in the arena already). A
bilinear resize is counted as area's, which is never less: it needs as many sums, and of min(S, 2 R) rows 2 R taps,
where T >= 2 R. Frames have the view's aspect: where that is not square, S and R are each axis's own, S S is height
times width, and a row has the width's. Bit depth comes after resize and grey, which read 8 bits, so it saves no byte of
the frame. Streamed:

* Memory: the frame, S S C bytes (8 bits a channel, as the accuracy was measured; a frame in RGB565 would be a third
  smaller), and one row of int32 sums, 4 R C bytes: an input row ends one output row and begins the next at most.
  The weight table is constant, 2 (S + R - gcd(S, R)) bytes of flash, below 1 kB for frames up to 256 px: not counted.
* Operations: T = S + R - gcd(S, R) weights of area_weights(S, R) are not zero (true up to S = 4096 px). Across: S T C
  multiply-accumulates and S R C shifts; down: T R C and R R C. Grey: 3 and a shift per pixel. R R c subtractions.
  R = S needs no resize.
* Time: operations times CYCLES_PER_OPERATION over the clock. That factor is an ESTIMATE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.hardware.boards import board, energy_mj
from danas_jax.hardware.latency import REFERENCE
from danas_jax.views.image import CHANNELS

ACCUMULATOR_BYTES = 4  # int32
# Estimate, not measured on a board: the preprocessing of `danas export --firmware bare` takes 4.9 to 8.4 instructions
# per operation on an emulated Cortex-M4 (gcc 12.2 -O3, five networks and frames), and an instruction a cycle or more.
CYCLES_PER_OPERATION = 6


def frame_channels(channels: ArrayLike, camera_grey: bool) -> np.ndarray:
    """Channels of a frame, int64 [...], for networks that read `channels`: 3, or 1 where both may be grey."""
    colour = np.asarray(channels) != CHANNELS["mono"]
    return np.where(colour | (not camera_grey), CHANNELS["rgb"], CHANNELS["mono"])


def pipeline_bytes(
    resolution_px: ArrayLike,
    channels: ArrayLike,
    camera_px: int,
    camera_grey: bool = False,
    width_px: ArrayLike | None = None,
) -> np.ndarray:
    """RAM beside the tensor arena, int64 [...]: the frame and the resize's sums [B]; arguments broadcast.

    `resolution_px` and `camera_px` are heights, `width_px` the networks' widths (None = square). Raises UserError when
    a network's input is larger than the frame, or the frame of its aspect no whole number of pixels wide.
    """
    height, width, camera_width = _shrinking(resolution_px, width_px, camera_px)
    read = frame_channels(channels, camera_grey)
    sums = np.where(height < camera_px, ACCUMULATOR_BYTES * width * read, 0)
    return camera_px * camera_width * read + sums


def pipeline_operations(
    resolution_px: ArrayLike,
    channels: ArrayLike,
    camera_px: int,
    camera_grey: bool = False,
    width_px: ArrayLike | None = None,
) -> np.ndarray:
    """Multiply-accumulates, shifts and subtractions of one frame, int64 [...]; arguments broadcast.

    Sizes and errors as of `pipeline_bytes`.
    """
    height, width, camera_width = _shrinking(resolution_px, width_px, camera_px)
    channels = np.asarray(channels)
    read = frame_channels(channels, camera_grey)
    across = camera_px * (camera_width + width - np.gcd(camera_width, width) + width)
    down = width * (camera_px + height - np.gcd(camera_px, height) + height)
    resize = np.where(height < camera_px, (across + down) * read, 0)
    grey = np.where(read > channels, 4 * height * width, 0)
    return resize + grey + height * width * channels


def pipeline_ms(
    resolution_px: ArrayLike,
    channels: ArrayLike,
    camera_px: int,
    camera_grey: bool = False,
    board_name: str = "",
    width_px: ArrayLike | None = None,
) -> np.ndarray:
    """Time of one frame on a board, float64 [...], an estimate (see the module) [ms]; "" is the reference board.

    Sizes and errors as of `pipeline_bytes`; UserError for an unknown board, too.
    """
    operations = pipeline_operations(resolution_px, channels, camera_px, camera_grey, width_px)
    return operations * (1000 * CYCLES_PER_OPERATION / board(board_name or REFERENCE).clock_hz)


def counted(
    limits: Limits, resolution_px: ArrayLike, channels: ArrayLike, width_px: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(bytes int64 [...], milliseconds float64 [...]) that `limits` count beside the network; 0 where they do not."""
    if not limits.count_input_pipeline:
        nothing = np.zeros(np.broadcast_shapes(np.shape(resolution_px), np.shape(channels)), np.int64)
        return nothing, nothing.astype(np.float64)
    camera = (limits.camera_px, limits.camera_grey)
    need_bytes = pipeline_bytes(resolution_px, channels, *camera, width_px)
    return need_bytes, pipeline_ms(resolution_px, channels, *camera, limits.board, width_px)


def beside(limits: Limits, costs: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(bytes [...], milliseconds float64 [...]) that `limits` count beside networks of these `costs`."""
    cycles = np.asarray(costs.get("front_end_cycles", 0))
    if not limits.count_input_pipeline or not cycles.any():
        width_px = costs.get("input_width_px")  # which squares of before do not have
        return counted(limits, costs["input_px"], costs["input_channels"], width_px)
    return np.asarray(costs["front_end_bytes"]), cycles * (1000 / board(limits.board or REFERENCE).clock_hz)


def on_board(costs: Mapping[str, int | float], limits: Limits) -> dict[str, int | float | None]:
    """What the board of `limits` adds to the costs of one network: the counted input pipeline, the energy of both.

    energy_mj is None where the board's power is not known.
    """
    need_bytes, need_ms = beside(limits, costs)
    return {
        "input_pipeline_bytes": int(need_bytes),
        "input_pipeline_ms": float(need_ms),
        "energy_mj": energy_mj(limits.board, costs["latency_ms"] + float(need_ms)),
    }


def _shrinking(
    resolution_px: ArrayLike, width_px: ArrayLike | None, camera_px: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(heights and widths of the networks, widths of the camera's frames) int64 [...] [px]."""
    height = np.asarray(resolution_px, np.int64)
    width = height if width_px is None else np.asarray(width_px, np.int64)
    if np.max(height) > camera_px:
        raise UserError(f"limits.camera_px = {camera_px}: give at least the network's {np.max(height)} px")
    if (camera_px * width % height).any():
        step = np.lcm.reduce((height // np.gcd(height, width)).ravel())
        raise UserError(
            f"limits.camera_px = {camera_px}: a frame of the network's aspect is no whole number of pixels wide: give "
            f"a multiple of {step}"
        )
    return height, width, camera_px * width // height
