"""Latency from published lines: a + b * MMACs, per (board, runtime). A table of measured layers is
better (lut.py).

Source: rows of the mit-han-lab/tinyengine README (STM32H743 at 480 MHz, int8). The lines go through mcunet-vww0 and
mcunet-vww2; their errors are those on the other rows, where MACs cost up to a fifth more or less
(tests/test_hardware_published.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from danas_jax.errors import UserError
from danas_jax.hardware.boards import board

REFERENCE = "stm32h743"  # the board that the published rows were measured on
# (board, runtime) -> (a [ms], b [ms per 10^6 MACs] at 480 MHz, largest error on the rows held out [%])
LINES = {
    (REFERENCE, "tflm"): (22.1, 94.81, 7.4),
    (REFERENCE, "tflm_cmsis_nn"): (2.16, 8.532, 11.4),
    (REFERENCE, "xcubeai"): (3.65, 4.758, 16.8),
    (REFERENCE, "tinyengine"): (2.24, 4.156, 19.5),
}


@dataclass(frozen=True)
class Line:
    """latency [ms] = `fixed_ms` + `ms_per_mmac` * MACs / 1e6; `basis` says what the figure is worth."""

    fixed_ms: float
    ms_per_mmac: float
    basis: str

    def ms(self, macs):
        """Milliseconds of `macs` multiply-accumulates (an int, or an array of any shape)."""
        return self.fixed_ms + self.ms_per_mmac * macs / 1e6


def has_line(runtime: str) -> bool:
    """Whether there are published latencies of this runtime."""
    return (REFERENCE, runtime) in LINES


def line(board_name: str = "", runtime: str = "tflm") -> Line:
    """The latency line of a board; "" is the published line itself (STM32H743, 480 MHz).

    Boards without rows of their own are scaled by clock from the H743 and say so; a core that does less per clock than
    a Cortex-M7 gets a lower bound. UserError for an unknown board or a runtime without a line.
    """
    if not has_line(runtime):
        raise UserError(f"runtime = {runtime!r} has no latency line; known: {', '.join(sorted(r for _, r in LINES))}")
    a, b, error = LINES[REFERENCE, runtime]
    target, reference = board(board_name or REFERENCE), board(REFERENCE)
    if target.name == reference.name:
        return Line(a, b, f"published (STM32H743, 480 MHz, within {error:g} %)")
    scale = reference.clock_hz / target.clock_hz
    basis = f"scaled by clock from the STM32H743 (x{scale:.2f})"
    if target.core != reference.core:
        basis += f"; lower bound: a {target.core} does less per clock than a {reference.core}"
    return Line(a * scale, b * scale, basis)


def latency_ms(macs, board_name: str = "", runtime: str = "tflm"):
    """Milliseconds of one inference of `macs` multiply-accumulates (an int, or an array of any shape)."""
    return line(board_name, runtime).ms(macs)
