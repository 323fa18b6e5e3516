"""What a runtime makes of a network: RAM and flash, by published formulas.

A runtime is data: which tensors share memory, what its kernels need beside them, who plans its arena, and how it stores
the network. Constants are fitted to the published rows of mcunet-vww0 and mcunet-vww2 (mit-han-lab/tinyengine README,
measured on an STM32H743, int8), that of `stm32tflm` to mcunet-vww0 alone. tests/test_hardware_published.py has the
rows, fits the constants again and checks the stated errors.

Two rules make tensors share memory. A view is its input: padding that the next kernel applies itself, a reshape, a
QUANTIZE that shifts the zero point. An operator that overwrites takes the place of its input if nothing reads the
input later; the larger of the two counts. Everything else is as in memory.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from danas_jax.errors import UserError
from danas_jax.hardware import graph as graphs
from danas_jax.hardware import memory, tflm
from danas_jax.hardware.flash import RUNTIME_BYTES
from danas_jax.hardware.graph import Graph, Operator

Buffer = Callable[[Graph, Operator], int]  # bytes that the kernel of an operator needs beside its tensors
Rule = Callable[[Graph, Operator], bool]


@dataclass(frozen=True)
class Flash:
    """The three meanings of "flash" [B]."""

    file_bytes: int  # the .tflite file
    weight_bytes: int  # kernels and biases alone
    code_bytes: int  # the network as this runtime stores it, and the runtime's code


@dataclass(frozen=True)
class Runtime:
    """RAM [B] = peak of live tensors and `scratch`, what `arena` adds, the largest of each of `buffers`, fixed bytes.

    Flash with code [B] = the file or the weights, and a share per channel, and code. The stated errors are the largest,
    either way, of the published rows.
    """

    name: str
    is_view: Rule | None = None
    overwrites: tuple[Rule, ...] = ()
    scratch: Buffer | None = None  # lives while its operator runs, among the tensors
    arena: Callable[[Graph], int] | None = None  # the tensors as a planner places them, with its records [B]
    buffers: tuple[Buffer, ...] = ()  # each a static array, as large as any operator needs it
    ram_fixed_bytes: int = 0
    stores: Literal["file", "weights"] = "file"
    flash_bytes_per_channel: float = 0.0
    flash_fixed_bytes: int = 0
    ram_error_percent: float = 0.0
    flash_error_percent: float | None = None  # None: no row to tell by
    source: str = ""


def _channels(graph: Graph, tensor: int) -> int:
    return graph.tensors[tensor].shape[-1]


def _is_view(graph: Graph, op: Operator) -> bool:
    if op.name == "PAD":  # of height and width; padded channels are a copy
        return _channels(graph, op.inputs[0]) == _channels(graph, op.outputs[0])
    same = graph.tensors[op.inputs[0]].bytes == graph.tensors[op.outputs[0]].bytes
    return op.name in ("RESHAPE", "QUANTIZE") and same


def _is_depthwise(graph: Graph, op: Operator) -> bool:
    """A channel is read as a whole before it is written, so only a channel's buffer is needed beside the tensor."""
    return op.name == "DEPTHWISE_CONV_2D" and _channels(graph, op.inputs[0]) == _channels(graph, op.outputs[0])


def _widens(graph: Graph, op: Operator) -> bool:
    """1x1 convolution onto at least as many channels: written from the front while the input, at the end, is read."""
    pointwise = op.name == "CONV_2D" and op.kernel == op.stride == (1, 1)
    return pointwise and _channels(graph, op.inputs[0]) <= _channels(graph, op.outputs[0])


def _cmsis_scratch(graph: Graph, op: Operator) -> int:
    """int16 columns of CMSIS-NN on a core with DSP: two of im2col, one depthwise; none for 1x1 and 3x3 depthwise.

    Source: ARM-software/CMSIS-NN, arm_convolve_get_buffer_sizes_s8.c and arm_depthwise_conv_get_buffer_sizes_s8.c.
    """
    if op.name == "CONV_2D" and op.kernel != (1, 1):
        return 4 * memory.aligned(prod(graph.tensors[op.inputs[1]].shape[1:]), 4)
    if _is_depthwise(graph, op) and op.kernel != (3, 3):
        return 2 * prod(op.kernel) * _channels(graph, op.inputs[0])
    return 0


# TinyEngine, code_generator/operators: get_sbuf_size and get_kbuf_size of conv2d.py and depthwiseConv2d.py
def _tinyengine_columns(graph: Graph, op: Operator) -> int:
    """Two int16 columns of im2col, or two padded channels of the depthwise input."""
    if op.name == "CONV_2D":
        return 4 * prod(graph.tensors[op.inputs[1]].shape[1:])
    if op.name == "DEPTHWISE_CONV_2D":
        padding = (k - 1 if op.padding == "same" else 0 for k in op.kernel)
        return 2 * prod(n + p for n, p in zip(graph.tensors[op.inputs[0]].shape[1:3], padding, strict=True))
    return 0


def _tinyengine_kernel(graph: Graph, op: Operator) -> int:
    """The kernel of a convolution larger than 1x1 in int16."""
    return 2 * graph.tensors[op.inputs[1]].bytes if op.name == "CONV_2D" and op.kernel != (1, 1) else 0


README = "mit-han-lab/tinyengine README, measured results"
TFLM = Runtime(
    "tflm",
    arena=tflm.arena_device_bytes,  # nothing of it is fitted
    flash_fixed_bytes=RUNTIME_BYTES,
    ram_error_percent=0.9,
    flash_error_percent=0.1,
    source=f"{README}: TFLM @ 713b6ed",
)
CMSIS_NN = replace(
    TFLM,
    name="tflm_cmsis_nn",
    scratch=_cmsis_scratch,
    flash_fixed_bytes=113_900,
    flash_error_percent=0.2,
    source=f"{README}: TFLM with CMSIS-NN @ 011bf32",
)
# A closed tool: that widening convolutions overwrite and narrowing ones do not is what fits all its rows best, those
# held out included. (A residual sum that overwrites would change none of them, here and in TinyEngine.)
XCUBEAI = Runtime(
    "xcubeai",
    is_view=_is_view,
    overwrites=(_is_depthwise, _widens),
    ram_fixed_bytes=40_448,
    stores="weights",
    flash_bytes_per_channel=10.0,
    flash_fixed_bytes=43_500,
    ram_error_percent=4.6,
    flash_error_percent=0.8,
    source=f"{README}: X-CUBE-AI 7.3.0, balanced",
)
# Nothing of its RAM is fitted: its code generator's own sums.
TINYENGINE = Runtime(
    "tinyengine",
    is_view=_is_view,
    overwrites=(_is_depthwise,),
    buffers=(_tinyengine_columns, _tinyengine_kernel),
    stores="weights",
    flash_bytes_per_channel=4.0,  # a float scale; only the fixed part is fitted
    flash_fixed_bytes=64_500,
    ram_error_percent=0.7,
    flash_error_percent=0.5,
    source=f"{README}: TinyEngine @ 0363956; code_generator/GeneralMemoryScheduler.py",
)
# ST's tool is a program for the PC, so the arena that it reports has 64-bit structures. Its flash is that of `tflm`,
# its latency is not published.
STM32TFLM = replace(
    TFLM,
    name="stm32tflm",
    arena=tflm.arena_host_bytes,
    ram_fixed_bytes=432,
    ram_error_percent=2.8,
    flash_error_percent=None,
    source="ColabNAS and NanoNAS READMEs: RAM as ST's stm32tflm reports it",
)
RUNTIMES = {runtime.name: runtime for runtime in (TFLM, CMSIS_NN, XCUBEAI, TINYENGINE, STM32TFLM)}


def runtime(name: str) -> Runtime:
    """The runtime called `name`; UserError with the near misses for an unknown one."""
    if name in RUNTIMES:
        return RUNTIMES[name]
    near = difflib.get_close_matches(name, RUNTIMES, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known runtimes: {', '.join(RUNTIMES)}"
    raise UserError(f"runtime = {name!r} is not known; {hint}")


def output_channels(graph: Graph) -> int:
    """Sum of the output channels of all convolutions: what is kept per channel (scale, multiplier, shift)."""
    return sum(_channels(graph, op.outputs[0]) for op in graph.operators if op.name in graphs.WEIGHTED[:2])


def lifetimes(graph: Graph, runtime: Runtime) -> list[memory.Tensor]:
    """What is alive from which operator to which in this runtime; views are no tensors of their own."""
    lives = dict(graph.lives)
    viewed = {}  # view -> the tensor that it shows
    if runtime.is_view:
        for op in graph.operators:
            x, y = op.inputs[0], op.outputs[0]
            x = viewed.get(x, x)
            if x in lives and y in lives and runtime.is_view(graph, op):
                viewed[y], shown = x, lives[x]
                lives[x] = shown._replace(last=max(shown.last, lives.pop(y).last))
    for i, op in enumerate(graph.operators):
        if any(rule(graph, op) for rule in runtime.overwrites):
            x, y = viewed.get(op.inputs[0], op.inputs[0]), op.outputs[0]
            if x not in lives or lives[x].last > i:
                continue
            if lives[y].bytes >= lives[x].bytes:
                lives[x] = lives[x]._replace(last=i - 1)
            else:
                lives[y] = lives[y]._replace(first=i + 1)
    return list(lives.values())


def live_bytes(graph: Graph, runtime: Runtime) -> list[int]:
    """Bytes of tensors and scratch that are alive while each operator runs, one per operator [B]."""
    live = memory.bytes_per_step(lifetimes(graph, runtime), len(graph.operators))
    if runtime.scratch:
        live = [size + runtime.scratch(graph, op) for size, op in zip(live, graph.operators, strict=True)]
    return live


def static_bytes(graph: Graph, runtime: Runtime) -> int:
    """What is there for as long as the network is: what the arena has beyond the live tensors, buffers, fixed bytes."""
    beyond = runtime.arena(graph) - graphs.live_peak_bytes(graph) if runtime.arena else 0
    buffers = sum(max(buffer(graph, op) for op in graph.operators) for buffer in runtime.buffers)
    return beyond + buffers + runtime.ram_fixed_bytes


def ram_bytes(graph: Graph, runtime: Runtime) -> int:
    """RAM that the network needs in this runtime [B]."""
    return max(live_bytes(graph, runtime)) + static_bytes(graph, runtime)


def flash(graph: Graph, runtime: Runtime) -> Flash:
    """What the network takes in flash [B], in the three meanings of the word; `graph.file_bytes` is the file."""
    weights = graphs.weight_bytes(graph)
    stored = graph.file_bytes if runtime.stores == "file" else weights
    kept = runtime.flash_bytes_per_channel * output_channels(graph)
    return Flash(graph.file_bytes, weights, round(stored + kept) + runtime.flash_fixed_bytes)
