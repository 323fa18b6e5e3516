"""Every figure of one network on one (board, runtime), ready for JSON: what `danas cost` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from danas_jax.config import Board, Limits
from danas_jax.errors import UserError
from danas_jax.hardware import boards, graph, input_pipeline, latency, lut, patches, runtimes, tflm
from danas_jax.hardware.graph import Graph
from danas_jax.hardware.runtimes import Runtime


@dataclass(frozen=True)
class Setting:
    """Where a network is to run. Without a board nothing is said about fitting, and the latency is the STM32H743's."""

    runtime: Runtime
    board: Board | None = None
    table: lut.Table | None = None  # latencies measured layer by layer, in place of the published line
    patching: bool = False  # patch-based execution (TinyEngine's)
    camera_px: int = 0  # height of the frames of a camera on the board, of the input's aspect; 0 = not counted
    camera_grey: bool = False

    def __post_init__(self):
        if self.patching and self.runtime is not runtimes.TINYENGINE:
            raise UserError(
                f"--patches: runtime {self.runtime.name} does not run in patches; give --runtime tinyengine"
            )
        if self.table and self.board and self.table.board != self.board.name:
            raise UserError(
                f"--lut: a table of board {self.table.board}, but --board is {self.board.name}: give its own"
            )
        if self.camera_grey and not self.camera_px:
            raise UserError("--camera-grey: give --camera-px, too")


def figures(net: Graph, setting: Setting) -> dict[str, Any]:
    """Bytes, MACs, milliseconds and mJ of one inference; keys in docs/cost.md. None = not known.

    Raises UserError where patches, the table or the camera do not suit the network.
    """
    runtime, layers = setting.runtime, _layers(net, setting)
    patched = patches.best_patching(net, runtime) if setting.patching else None
    ram = patched.ram_bytes if patched else runtimes.ram_bytes(net, runtime)
    factor = patched.latency_factor if patched else 1.0
    time = _latency(net, setting)
    pipeline_bytes, pipeline_ms = _input_pipeline(net, setting)
    total_ms = None if time["ms"] is None else time["ms"] * factor + pipeline_ms
    place = setting.board.name if setting.board else ""
    flash = runtimes.flash(net, runtime)
    bottleneck = max(layers, key=lambda layer: layer["live_bytes"])
    return {
        "runtime": runtime.name,
        "board": place or None,
        "operators": len(net.operators),
        "macs": patched.macs if patched else graph.total_macs(net),
        "params": graph.params(net),
        "live_peak_bytes": bottleneck["live_bytes"],
        "ram_bytes": ram,
        "arena_host_bytes": tflm.arena_host_bytes(net) if runtime is runtimes.TFLM else None,
        "flash": asdict(flash),
        "input_pipeline_bytes": pipeline_bytes,
        "input_pipeline_ms": pipeline_ms,
        "latency_ms": total_ms,
        "latency_basis": time["basis"],
        "latency_shares": time["shares"],
        "energy_mj": None if total_ms is None else boards.energy_mj(place, total_ms),
        "bottleneck": bottleneck,
        "patching": asdict(patched) if patched else None,
        "fits": _fits(setting.board, ram + pipeline_bytes, flash.code_bytes) if setting.board else None,
        "ram_error_percent": runtime.ram_error_percent,
        "flash_error_percent": runtime.flash_error_percent,
        "source": runtime.source,
        "layers": layers,
    }


def _layers(net: Graph, setting: Setting) -> list[dict[str, Any]]:
    """One entry per operator, in the order of execution."""
    alive = runtimes.lifetimes(net, setting.runtime)
    live, macs = runtimes.live_bytes(net, setting.runtime), graph.macs(net)
    times = lut.predict(setting.table, net).operators if setting.table else None
    return [
        {
            "operator": i,
            "op": op.name,
            "output": net.tensors[op.outputs[0]].name,
            "shape": list(net.tensors[op.outputs[0]].shape),
            "macs": macs[i],
            "live_bytes": live[i],
            "live_tensors": [tensor.name for tensor in alive if tensor.first <= i <= tensor.last],
            "latency_ms": times[i].ms if times else None,
            "latency_source": times[i].source if times else None,
        }
        for i, op in enumerate(net.operators)
    ]


def _latency(net: Graph, setting: Setting) -> dict[str, Any]:
    """Milliseconds of the network alone, what they are based on, and which share of them was looked up."""
    if setting.table:
        found = lut.predict(setting.table, net)
        basis = f"latency table {setting.table.source} ({setting.table.board}, {setting.table.runtime})"
        if found.fallback_share:
            basis += f"; fallback: {found.basis}"
        return {"ms": found.total_ms, "basis": basis, "shares": found.shares}
    if not latency.has_line(setting.runtime.name):
        return {"ms": None, "basis": f"no published latency for {setting.runtime.name}", "shares": None}
    line = latency.line(setting.board.name if setting.board else "", setting.runtime.name)
    return {"ms": line.ms(graph.total_macs(net)), "basis": line.basis, "shares": None}


def _input_pipeline(net: Graph, setting: Setting) -> tuple[int, float]:
    """(bytes, ms) of the camera's frame and its resize; zeros where no camera is given."""
    if not setting.camera_px:
        return 0, 0.0
    shape = net.tensors[net.inputs[0]].shape
    if len(shape) != 4 or min(shape[1:3]) < 2:
        raise UserError(f"--camera-px = {setting.camera_px}: the network's input {list(shape)} is no picture")
    limits = Limits(
        board=setting.board.name if setting.board else "",
        count_input_pipeline=True,
        camera_px=setting.camera_px,
        camera_grey=setting.camera_grey,
    )
    need_bytes, need_ms = input_pipeline.counted(limits, shape[1], shape[3], shape[2])
    return int(need_bytes), float(need_ms)


def _fits(board: Board, ram_bytes: int, flash_bytes: int) -> dict[str, Any]:
    """Whether RAM and the reserve fit the board's SRAM, and file (or weights) and code its flash."""
    sram = {"need_bytes": ram_bytes + board.reserved_sram_bytes, "limit_bytes": board.sram_bytes}
    flash = {"need_bytes": flash_bytes, "limit_bytes": board.flash_bytes}
    for one in (sram, flash):
        one["fits"] = one["need_bytes"] <= one["limit_bytes"]
    return {"fits": sram["fits"] and flash["fits"], "sram": sram, "flash": flash}
