"""The tensor arena that TensorFlow Lite Micro needs: its greedy plan (head) and its persistent records (tail).

Follows tflite-micro: memory_planner/greedy_memory_planner.cc, micro_allocation_info.cc, micro_allocator.cc,
arena_allocator/single_arena_buffer_allocator.cc, and Init/Prepare of the reference kernels. `HOST` is the tflite-micro
wheel on x86-64 (checked against its interpreter, byte for byte); `DEVICE` is the same with 32-bit structures and the
plain instead of the recording allocator (derived, not measured). The reference kernels ask for no scratch buffers for
these operators in int8; CMSIS-NN's do, and would be further buffers in `buffers`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

from danas_jax.hardware.memory import Tensor, tensors
from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, DEPTHWISE, LayerSpec

ALIGNMENT = 16  # bytes, of planned buffers and of what kernels allocate (MicroArenaBufferAlignment)
REQUESTS_PER_NODE = 12  # scratch requests that the head has room for while planning (kMaxScratchBuffersPerOp)


class Sizes(NamedTuple):
    """sizeof of TFLM's structures on one target [B]; `word` is a pointer's size and alignment."""

    word: int
    fixed: tuple[int, ...]  # allocator, planner, MicroAllocator, builtin-data allocator, SubgraphAllocations
    eval_tensor: int  # TfLiteEvalTensor, one per tensor
    node: int  # NodeAndRegistration, one per operator
    tensor: int  # TfLiteTensor, for the network's input and its output
    quantisation: int  # TfLiteAffineQuantization, for the same two
    builtin: dict[str, int]  # TfLite*Params by op, word-free structures aligned to 4
    op_data: dict[str, int]  # OpData* by op
    request: int  # ScratchBufferRequest (while planning)
    allocation_info: int  # AllocationInfo, one per tensor (while planning)


# Measured on the wheel. No builtin structure holds a pointer, so both targets share the sizes. (Compilers that shorten
# enums, as arm-none-eabi-gcc does, make some of them up to 8 B smaller: the derived figure is the larger one.)
BUILTIN = {CONV: 28, DEPTHWISE: 28, ADD: 8, AVG_POOL: 40, DENSE: 32}
HOST = Sizes(
    word=8,
    fixed=(104, 72, 272, 16, 24),
    eval_tensor=24,
    node=64,
    tensor=64,
    quantisation=24,
    builtin=BUILTIN,
    op_data={CONV: 80, DEPTHWISE: 80, ADD: 64, AVG_POOL: 32, DENSE: 72},
    request=16,
    allocation_info=32,
)
DEVICE = Sizes(
    word=4,
    fixed=(36, 44, 36, 8, 8),
    eval_tensor=12,
    node=32,
    tensor=40,
    quantisation=12,
    builtin=BUILTIN,
    op_data={CONV: 56, DEPTHWISE: 56, ADD: 60, AVG_POOL: 32, DENSE: 48},
    request=12,
    allocation_info=24,
)
PLAN_ENTRY = 40  # the planner's own working memory per buffer, all int32 [B]


def _up(size: int, alignment: int = ALIGNMENT) -> int:
    return -(-size // alignment) * alignment


def plan(buffers: Sequence[Tensor]) -> list[int]:
    """Offset [B] that TFLM's greedy planner gives each buffer; buffers in the order of their tensor indices.

    Largest first; each goes into the first gap, by offset, among the already placed buffers that live when it lives.
    """
    # The planner fills its list from the end and then sorts stably, so among equal sizes the later buffer comes first.
    order = sorted(range(len(buffers)), key=lambda i: (-_up(buffers[i].bytes), -i))
    alive: list[list[tuple[int, int]]] = [[] for _ in range(1 + max(b.last for b in buffers))]
    offsets = [0] * len(buffers)
    for i in order:
        buffer = buffers[i]
        size = _up(buffer.bytes)
        if buffer.last - buffer.first == 0:
            placed = alive[buffer.first]
        else:
            placed = sorted(set().union(*alive[buffer.first : buffer.last + 1]))
        offset = 0
        for start, end in placed:
            if start - offset >= size:
                break
            offset = max(offset, end)
        offsets[i] = offset
        for now in alive[buffer.first : buffer.last + 1]:
            insort(now, (offset, offset + size))
    return offsets


def head_bytes(layers: Sequence[LayerSpec]) -> int:
    """Planned activations: the highest end of a buffer [B]; at least the live peak."""
    buffers = tensors(layers)
    return max(offset + _up(b.bytes) for offset, b in zip(plan(buffers), buffers, strict=True))


def _tensor_count(layers: Sequence[LayerSpec]) -> int:
    """Tensors of the file: the input, each output, and a kernel and a bias for layers with weights."""
    return 1 + sum(3 if layer.weight_shape else 1 for layer in layers)


def _temporaries(layer: LayerSpec, sizes: Sizes) -> int:
    """Temporary TfLiteTensors at the end of a kernel's Prepare [B]: in the head, kept until Prepare returns."""
    record = _up(sizes.tensor + sizes.quantisation + 8, sizes.word)
    if layer.op not in (CONV, DEPTHWISE):
        return record * (4 if layer.op == DENSE else len(layer.inputs) + 1)
    # output, input, kernel; then again input, kernel, bias, output: kernel and bias with a zero point per channel
    return 4 * record + 3 * (record + 4 * (layer.out_shape[2] - 1) + sizes.word)


def _tail_and_working(layers: Sequence[LayerSpec], sizes: Sizes) -> tuple[int, int]:
    """(persistent bytes, arena needed while preparing): persistent allocations grow down from the arena's end, aligned.

    While it prepares and plans, TFLM keeps its working memory where the activations will be. That is more than the
    activations need in toy networks, or where a very wide layer meets very small maps.
    """
    word, used, working = sizes.word, 0, 0

    def take(size: int, alignment: int) -> None:
        nonlocal used
        used = _up(used + size, alignment)

    for size in sizes.fixed:
        take(size, word)
    take(sizes.eval_tensor * _tensor_count(layers), word)
    take(sizes.node * len(layers), word)
    for layer in layers:
        take(sizes.builtin[layer.op], 4)
    for layer in layers:
        take(sizes.op_data[layer.op], ALIGNMENT)
    requests = sizes.request * REQUESTS_PER_NODE
    for layer in layers:
        if layer.op in (CONV, DEPTHWISE):  # int32 multiplier and shift per output channel
            take(4 * layer.out_shape[2], ALIGNMENT)
            take(4 * layer.out_shape[2], ALIGNMENT)
        working = max(working, used + requests + _temporaries(layer, sizes))
    records = requests + word + sizes.allocation_info * _tensor_count(layers)
    working = max(working, used + _up(records) + PLAN_ENTRY * (len(layers) + 1))
    for _ in ("input", "output"):
        take(word, ALIGNMENT)  # array of one pointer
        take(sizes.tensor, word)
        take(sizes.quantisation, word)
        take(8, 4)  # zero point: count and value
    return used, _up(working)


def _arena_bytes(layers: Sequence[LayerSpec], head: int, sizes: Sizes) -> int:
    tail, working = _tail_and_working(layers, sizes)
    return max(head + tail, working)


def arenas(layers: Sequence[LayerSpec]) -> tuple[int, int]:
    """(32-bit board, 64-bit host) arena [B]; the plan is made once, both share it."""
    head = head_bytes(layers)
    return _arena_bytes(layers, head, DEVICE), _arena_bytes(layers, head, HOST)


def arena_host_bytes(layers: Sequence[LayerSpec]) -> int:
    """Smallest arena [B] in which the tflite-micro wheel runs the network on this 64-bit host.

    Equals what the interpreter reports, save for toy graphs: they need more while TFLM prepares than it reports after.
    """
    return arenas(layers)[1]


def arena_device_bytes(layers: Sequence[LayerSpec]) -> int:
    """Arena [B] on a 32-bit board: the same planner with 32-bit structures. Derived, not measured.

    Within 1 % below the published rows mcunet-vww0..2 (STM32H743, TFLM @713b6ed, given in whole kB).
    """
    return arenas(layers)[0]
