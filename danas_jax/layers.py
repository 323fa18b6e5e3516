"""LayerSpec: the one description of a network that training, cost model, exporter and report share."""

from __future__ import annotations

from dataclasses import dataclass, replace

INPUT = "input"  # the name by which layers refer to the network's input tensor

BN_EPSILON = 1e-3  # of every batch normalisation, in training and when it is folded

CONV, DEPTHWISE, ADD, AVG_POOL, DENSE = "conv", "depthwise", "add", "avg_pool", "dense"


@dataclass(frozen=True)
class LayerSpec:
    """One operator of a network executed in list order on [h, w, c] tensors (SAME padding throughout).

    `conv` and `depthwise` carry batch normalisation while training (`batch_norm`); it is folded for export.
    `avg_pool` pools the whole map to 1x1. `dense` flattens its input. `add` has two inputs of equal shape.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: int = 1
    stride: int = 1
    activation: str = "none"  # "none" | "relu" | "relu6"
    batch_norm: bool = False

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the kernel in training: conv [k, k, in, out], depthwise [k, k, c], dense [in, out], else ()."""
        k, cin, cout = self.kernel, self.in_shape[2], self.out_shape[2]
        if self.op == CONV:
            return (k, k, cin, cout)
        if self.op == DEPTHWISE:
            return (k, k, cout)
        if self.op == DENSE:
            return (self.in_shape[0] * self.in_shape[1] * cin, cout)
        return ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference (1 MAC = 2 FLOPs); pooling and additions count 0."""
        h, w, cout = self.out_shape
        if self.op == CONV:
            return h * w * cout * self.kernel**2 * self.in_shape[2]
        if self.op == DEPTHWISE:
            return h * w * cout * self.kernel**2
        if self.op == DENSE:
            return self.in_shape[0] * self.in_shape[1] * self.in_shape[2] * cout
        return 0

    @property
    def params(self) -> int:
        """Weights and biases of the deployed (BN-folded) layer."""
        size = 1
        for dim in self.weight_shape:
            size *= dim
        return size + self.out_shape[2] if self.weight_shape else 0


class LayerBuilder:
    """Appends layers to a list, tracking the shape; the functional way to write a network down."""

    def __init__(self, input_shape: tuple[int, int, int], activation: str = "relu6"):
        self.layers: list[LayerSpec] = []
        self.shape = input_shape
        self.last = INPUT
        self.activation = activation

    def _append(self, spec: LayerSpec) -> str:
        self.layers.append(spec)
        self.shape, self.last = spec.out_shape, spec.name
        return spec.name

    def conv(self, name: str, width: int, kernel: int = 1, stride: int = 1, activate: bool = True) -> str:
        """A dense convolution with batch normalisation."""
        h, w, _ = self.shape
        out = (-(-h // stride), -(-w // stride), width)
        act = self.activation if activate else "none"
        return self._append(LayerSpec(name, CONV, (self.last,), self.shape, out, kernel, stride, act, True))

    def depthwise(self, name: str, kernel: int, stride: int = 1) -> str:
        """A depthwise convolution (multiplier 1) with batch normalisation and activation."""
        h, w, c = self.shape
        out = (-(-h // stride), -(-w // stride), c)
        return self._append(
            LayerSpec(name, DEPTHWISE, (self.last,), self.shape, out, kernel, stride, self.activation, True)
        )

    def add(self, name: str, other: str) -> str:
        """Residual sum of the last layer and `other`."""
        return self._append(LayerSpec(name, ADD, (self.last, other), self.shape, self.shape))

    def pool(self, name: str) -> str:
        """Average over the whole map."""
        h, _, c = self.shape
        return self._append(LayerSpec(name, AVG_POOL, (self.last,), self.shape, (1, 1, c), kernel=h))

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


def total_params(layers: tuple[LayerSpec, ...]) -> int:
    """Weights and biases of the deployed network."""
    return sum(layer.params for layer in layers)
