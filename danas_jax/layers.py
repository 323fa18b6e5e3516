"""LayerSpec: the one description of a network that training, cost model, exporter and report share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from danas_jax.errors import UserError

INPUT = "input"  # the name by which layers refer to the network's input tensor

BN_EPSILON = 1e-3  # of every batch normalisation, in training and when it is folded

CONV, DEPTHWISE, ADD, DENSE = "conv", "depthwise", "add", "dense"
AVG_POOL, MAX_POOL = POOLS = "avg_pool", "max_pool"


@dataclass(frozen=True)
class LayerSpec:
    """One operator of a network executed in list order on [h, w, c] tensors (SAME padding but for pools).

    `kernel` is (k_h, k_w), `stride` that of both axes. `conv` and `depthwise` carry batch normalisation while training
    (`batch_norm`); it is folded for export. `avg_pool` pools the whole map to 1x1, `max_pool` takes the largest of each
    whole window. `dense` flattens its input. `add` has two inputs of equal shape.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    activation: str = "none"  # "none" | "relu" | "relu6"
    batch_norm: bool = False

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of the kernel in training: conv [k_h, k_w, in, out], depthwise [k_h, k_w, c], dense [in, out], else ()."""
        cin, cout = self.in_shape[2], self.out_shape[2]
        if self.op == CONV:
            return (*self.kernel, cin, cout)
        if self.op == DEPTHWISE:
            return (*self.kernel, cout)
        if self.op == DENSE:
            return (prod(self.in_shape), cout)
        return ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference (1 MAC = 2 FLOPs); pooling and additions count 0."""
        positions = self.out_shape[0] * self.out_shape[1]
        return positions * prod(self.weight_shape) if self.weight_shape else 0

    @property
    def params(self) -> int:
        """Weights and biases of the deployed (BN-folded) layer."""
        return prod(self.weight_shape) + self.out_shape[2] if self.weight_shape else 0


class LayerBuilder:
    """Appends layers to a list, tracking the shape; the functional way to write a network down.

    A kernel is (k_h, k_w), or k for k x k. A one-dimensional network has kernels of k_h x 1: those of an input one
    wide, unless `one_dimensional` says otherwise. It is one property of a whole network, for all its input shapes:
    they share weights, and the last maps of small pictures may be one wide, too.
    """

    def __init__(
        self, input_shape: tuple[int, int, int], activation: str = "relu6", one_dimensional: bool | None = None
    ):
        self.layers: list[LayerSpec] = []
        self.shape = input_shape
        self.last = INPUT
        self.activation = activation
        self.one_dimensional = input_shape[1] == 1 if one_dimensional is None else one_dimensional

    def _append(self, spec: LayerSpec) -> str:
        self.layers.append(spec)
        self.shape, self.last = spec.out_shape, spec.name
        return spec.name

    def _convolve(
        self, name: str, op: str, width: int, kernel: int | tuple[int, int], stride: int, activation: str
    ) -> str:
        height, breadth = (kernel, kernel) if isinstance(kernel, int) else kernel
        window = height, 1 if self.one_dimensional else breadth
        out = -(-self.shape[0] // stride), -(-self.shape[1] // stride), width
        return self._append(LayerSpec(name, op, (self.last,), self.shape, out, window, stride, activation, True))

    def conv(
        self, name: str, width: int, kernel: int | tuple[int, int] = 1, stride: int = 1, activate: bool = True
    ) -> str:
        """A dense convolution with batch normalisation."""
        return self._convolve(name, CONV, width, kernel, stride, self.activation if activate else "none")

    def depthwise(self, name: str, kernel: int | tuple[int, int], stride: int = 1) -> str:
        """A depthwise convolution (multiplier 1) with batch normalisation and activation."""
        return self._convolve(name, DEPTHWISE, self.shape[2], kernel, stride, self.activation)

    def add(self, name: str, other: str) -> str:
        """Residual sum of the last layer and `other`."""
        return self._append(LayerSpec(name, ADD, (self.last, other), self.shape, self.shape))

    def max_pool(self, name: str, size: int = 2) -> str:
        """The largest of each window of size x size, side by side; UserError where the map holds none."""
        height, breadth, channels = self.shape
        window = size, 1 if self.one_dimensional else size
        if height < window[0] or breadth < window[1]:
            raise UserError(f"layer {name}: a map of {height}x{breadth} holds no window of {window[0]}x{window[1]}")
        out = height // window[0], breadth // window[1], channels
        return self._append(LayerSpec(name, MAX_POOL, (self.last,), self.shape, out, window, size))

    def pool(self, name: str) -> str:
        """Average over the whole map."""
        h, w, c = self.shape
        return self._append(LayerSpec(name, AVG_POOL, (self.last,), self.shape, (1, 1, c), kernel=(h, w)))

    def dense(self, name: str, width: int) -> str:
        """The classifier: logits, no activation."""
        return self._append(LayerSpec(name, DENSE, (self.last,), self.shape, (1, 1, width)))

    def build(self) -> tuple[LayerSpec, ...]:
        """The finished list."""
        return tuple(self.layers)


def with_input_channels(layers: tuple[LayerSpec, ...], channels: int) -> tuple[LayerSpec, ...]:
    """The same network reading `channels` input channels (a mono stem trained on replicated grey has 3)."""
    first = layers[0]
    return (replace(first, in_shape=(*first.in_shape[:2], channels)), *layers[1:])


def total_macs(layers: tuple[LayerSpec, ...]) -> int:
    """MACs of one inference."""
    return sum(layer.macs for layer in layers)
