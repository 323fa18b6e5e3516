"""The tensor arena that TensorFlow Lite Micro needs: its greedy plan (head) and its persistent records (tail).

Follows tflite-micro: memory_planner/greedy_memory_planner.cc, micro_allocation_info.cc, micro_allocator.cc,
arena_allocator/single_arena_buffer_allocator.cc, and Init/Prepare of the reference kernels. `HOST` is the tflite-micro
wheel on x86-64 (checked against its interpreter, byte for byte); `DEVICE` is the same with 32-bit structures and the
plain instead of the recording allocator (derived, not measured). The planner shares no buffer between an operator's
input and output. Of the operators read, only MEAN asks the reference kernels for scratch buffers in int8; CMSIS-NN's
kernels ask for more, which would be further buffers of `_buffers`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from danas_jax.hardware.graph import Graph, Operator
from danas_jax.hardware.memory import Tensor, aligned, bytes_per_step

ALIGNMENT = 16  # bytes, of planned buffers and of what kernels allocate (MicroArenaBufferAlignment)
REQUESTS_PER_NODE = 12  # scratch requests that the head has room for while planning (kMaxScratchBuffersPerOp)
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


class Sizes(NamedTuple):
    """sizeof of TFLM's structures on one target [B]; `word` is a pointer's size and alignment."""

    word: int
    fixed: tuple[int, ...]  # allocator, planner, MicroAllocator, builtin-data allocator, SubgraphAllocations
    eval_tensor: int  # TfLiteEvalTensor, one per tensor
    node: int  # NodeAndRegistration, one per operator
    tensor: int  # TfLiteTensor, for the network's inputs and outputs
    quantisation: int  # TfLiteAffineQuantization, for the same
    op_data: dict[str, int]  # OpData* by operator; SHAPE, PACK and RESHAPE have none
    request: int  # ScratchBufferRequest (while planning)
    allocation_info: int  # AllocationInfo, one per tensor and scratch buffer (while planning)


# (size, alignment) of TfLite*Params by operator [B], measured on the wheel: structures of 32-bit numbers and bytes, the
# same on both targets, but for something of 64 bits in FULLY_CONNECTED's. (Compilers that shorten enums, as
# arm-none-eabi-gcc does, make some of them up to 8 B smaller: the derived figure is the larger one.)
BUILTIN = {
    "CONV_2D": (28, 4),
    "DEPTHWISE_CONV_2D": (28, 4),
    "ADD": (8, 4),
    "AVERAGE_POOL_2D": (40, 4),
    "MAX_POOL_2D": (40, 4),
    "MEAN": (1, 1),
    "FULLY_CONNECTED": (32, 8),
    "RESHAPE": (36, 4),
    "PAD": (0, 1),
    "QUANTIZE": (0, 1),
    "SOFTMAX": (4, 4),
    "SHAPE": (4, 4),
    "STRIDED_SLICE": (24, 4),
    "PACK": (8, 4),
    "CONCATENATION": (8, 4),
}
# Kernels' structures that hold no pointer, the same on both targets; measured on the wheel
PLAIN = {
    "ADD": 60,
    "AVERAGE_POOL_2D": 32,
    "MAX_POOL_2D": 32,
    "MEAN": 44,
    "PAD": 56,
    "QUANTIZE": 32,
    "STRIDED_SLICE": 84,
    "RESHAPE": 0,
    "SHAPE": 0,
    "PACK": 0,
}
HOST = Sizes(
    word=8,
    fixed=(104, 72, 272, 16, 24),
    eval_tensor=24,
    node=64,
    tensor=64,
    quantisation=24,
    op_data=PLAIN | {"CONV_2D": 80, "DEPTHWISE_CONV_2D": 80, "FULLY_CONNECTED": 72, "SOFTMAX": 80, "CONCATENATION": 80},
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
    op_data=PLAIN | {"CONV_2D": 56, "DEPTHWISE_CONV_2D": 56, "FULLY_CONNECTED": 48, "SOFTMAX": 56, "CONCATENATION": 24},
    request=12,
    allocation_info=24,
)
PLAN_ENTRY = 40  # the planner's own working memory per buffer, all int32 [B]


def _up(size, alignment: int = ALIGNMENT):
    """`size` (int or array) [B] rounded up."""
    return aligned(size, alignment)


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


def _scratch(graph: Graph, op: Operator) -> tuple[int, ...]:
    """Scratch buffers of one operator [B]: MEAN's int32 sums, its index into the input, its resolved axes."""
    if op.name != "MEAN":
        return ()
    source, axes = (graph.tensors[t].shape for t in op.inputs[:2])
    return 4 * prod(graph.tensors[op.outputs[0]].shape), 4 * len(source), 4 * prod(axes)


def _prepared(op: Operator) -> tuple[int, ...]:
    """Tensors of which a kernel's Prepare makes temporary TfLiteTensors, those it makes twice twice."""
    every = (*op.inputs, *op.outputs)
    if op.name in CONVOLUTIONS:
        return (*every, *op.inputs[:2], *op.outputs)
    if op.name == "MEAN":
        return every + every
    if op.name == "CONCATENATION":
        return (*every, op.inputs[0])
    if op.name == "RESHAPE":
        return (op.inputs[0], *op.outputs)
    return () if op.name in ("SHAPE", "PACK") else every


def _channels(graph: Graph, op: Operator) -> int:
    """Elements of the int32 multipliers and of the shifts that a kernel keeps, 0 where it keeps none."""
    if op.name in CONVOLUTIONS:
        return graph.tensors[op.outputs[0]].shape[3]
    scales = graph.tensors[op.inputs[1]].scales if op.name == "FULLY_CONNECTED" else 0
    return scales if scales > 1 else 0


def _buffers(graph: Graph) -> list[Tensor]:
    """What the planner places, in its order: activations by tensor index, then scratch buffers.

    Tensors that no operator writes or reads are placed as well, at a time of their own.
    """
    end = len(graph.operators)
    scratch = [
        Tensor(f"scratch of operator {i}", size, i, i)
        for i, op in enumerate(graph.operators)
        for size in _scratch(graph, op)
    ]
    planned = [
        graph.lives.get(i) or Tensor(tensor.name, tensor.bytes, end, end)
        for i, tensor in enumerate(graph.tensors)
        if tensor.bytes and not tensor.constant_bytes
    ]
    return planned + scratch


def head_bytes(graph: Graph) -> int:
    """Planned activations and scratch buffers: the highest end of one [B]; at least the live peak."""
    buffers = _buffers(graph)
    return max(offset + _up(b.bytes) for offset, b in zip(plan(buffers), buffers, strict=True))


def head_bound_bytes(graph: Graph) -> int:
    """Lower bound of `head_bytes` [B]: the live peak with every buffer rounded up as the planner does.

    Buffers that live together do not overlap, so no plan is smaller; a plan is larger where gaps are left between them.
    """
    return max(bytes_per_step([b._replace(bytes=_up(b.bytes)) for b in graph.lives.values()], len(graph.operators)))


class Records(NamedTuple):
    """What TFLM keeps for consecutive operators and borrows while it prepares them; ints, or arrays over networks.

    Of operators that follow each other everything adds up but `builtin`, which is rounded as it grows, and the last
    three; without scratch buffers, `preparing` is the larger of the first ones' `preparing` and the first ones'
    `channels` plus the others' `preparing`.
    """

    tensors: int | np.ndarray  # without the network's inputs
    operators: int | np.ndarray
    buffers: int | np.ndarray  # that the planner places, without the network's inputs
    scratch: int | np.ndarray  # those of them that are scratch buffers
    builtin: int | np.ndarray  # TfLite*Params [B]
    op_data: int | np.ndarray  # OpData*, each rounded up [B]
    channels: int | np.ndarray  # multipliers and shifts, each array rounded up [B]
    preparing: int | np.ndarray  # most that `channels` so far, scratch requests and a kernel's temporaries take [B]
    first: int  # OpData* of the first operator that has any [B]
    ends: tuple[tuple[int, ...], tuple[int, ...]]  # scales of each of the network's inputs, and outputs


def records(graph: Graph, sizes: Sizes) -> Records:
    """The records of a network, or of a part of one."""
    builtin = op_data = channels = preparing = scratch = first = 0
    tensors = graph.tensors
    temporary = {
        scales: sizes.tensor + (_up(sizes.quantisation + 4 + 4 * scales, sizes.word) if scales else 0)
        for scales in {tensor.scales for tensor in tensors}
    }
    for op in graph.operators:
        size, alignment = BUILTIN[op.name]
        builtin = _up(builtin + size, alignment)
        size = sizes.op_data[op.name]
        op_data, first = op_data + _up(size), first or size
        channels += 2 * _up(4 * _channels(graph, op))
        borrowed = sum(temporary[tensors[t].scales] for t in _prepared(op) if t >= 0)
        preparing = max(preparing, channels + sizes.request * scratch + borrowed)
        scratch += len(_scratch(graph, op))
    return Records(
        tensors=len(tensors) - len(graph.inputs),
        operators=len(graph.operators),
        buffers=sum(t.bytes > 0 and not t.constant_bytes for t in tensors) - len(graph.inputs) + scratch,
        scratch=scratch,
        builtin=builtin,
        op_data=op_data,
        channels=channels,
        preparing=preparing,
        first=first,
        ends=(tuple(tensors[t].scales for t in graph.inputs), tuple(tensors[t].scales for t in graph.outputs)),
    )


def _tail_and_working(kept: Records, sizes: Sizes):
    """(persistent bytes, arena needed while preparing) of a network with these records; ints, or [N] where those are.

    Persistent allocations grow down from the arena's end, each aligned. While it prepares and plans, TFLM keeps its
    working memory where the activations will be. That is more than the activations need in toy networks, or where a
    very wide layer meets very small maps.
    """
    word, used, inputs = sizes.word, 0, len(kept.ends[0])
    for size in (*sizes.fixed, sizes.eval_tensor * (kept.tensors + inputs), sizes.node * kept.operators):
        used = _up(used + size, word)
    used = used + kept.builtin
    if kept.first:  # it is rounded up together with what lies before it
        used = _up(used + kept.first) - _up(kept.first) + kept.op_data
    preparing = used + sizes.request * REQUESTS_PER_NODE + kept.preparing
    used = _up(used + kept.channels + word * kept.scratch, word)  # a handle per scratch buffer
    tensors = kept.tensors + inputs + kept.scratch
    tables = sizes.request * (REQUESTS_PER_NODE + kept.scratch) + word + sizes.allocation_info * tensors
    planning = _up(used) + _up(tables) + PLAN_ENTRY * (kept.buffers + inputs)
    for ends in kept.ends:
        used = _up(used + word * len(ends))  # array of pointers
        for scales in ends:
            used = _up(used + sizes.tensor, word)
            if scales:  # zero points: their count and values
                used = _up(_up(used + sizes.quantisation, word) + 4 + 4 * scales, 4)
    return used, _up(np.maximum(preparing, planning))


def tail_bytes(graph: Graph) -> tuple[int, int]:
    """(32-bit board, 64-bit host) what lives as long as the interpreter [B]."""
    device, host = (int(_tail_and_working(records(graph, sizes), sizes)[0]) for sizes in (DEVICE, HOST))
    return device, host


def arena_bytes(head, kept: Records, sizes: Sizes):
    """The arena [B] of a network with `head` planned bytes and these records; int, or [N] where those are arrays."""
    tail, working = _tail_and_working(kept, sizes)
    return np.maximum(head + tail, working)


def arenas(graph: Graph) -> tuple[int, int]:
    """(32-bit board, 64-bit host) arena [B]; the plan is made once, both share it."""
    head = head_bytes(graph)
    device, host = (int(arena_bytes(head, records(graph, sizes), sizes)) for sizes in (DEVICE, HOST))
    return device, host


def arena_host_bytes(graph: Graph) -> int:
    """Smallest arena [B] in which the tflite-micro wheel runs the network on this 64-bit host.

    Equals what the interpreter reports, save for toy graphs: they need more while TFLM prepares than it reports after.
    """
    return arenas(graph)[1]


def arena_device_bytes(graph: Graph) -> int:
    """Arena [B] on a 32-bit board: the same planner with 32-bit structures. Derived, not measured.

    Within 1 % below the published rows mcunet-vww0..2 (STM32H743, TFLM @713b6ed, given in whole kB).
    """
    return arenas(graph)[0]
