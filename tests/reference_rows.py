"""Published networks as graphs, and what was published about them: RAM, flash, latency and file sizes."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import NamedTuple

from danas_jax.hardware.graph import Graph, Operator, Tensor

TABLES = Path(__file__).resolve().parent / "data" / "published_nets.txt"
FITTED = (
    "mcunet-vww0 (10fps)",
    "mcunet-vww2 (320kB)",
)  # what the constants of runtimes.py and latency.py are fitted on
HELD_OUT = "mcunet-vww1 (5fps)"
MBV2 = "mbv2-w0.35"


class Row(NamedTuple):
    """One published figure: kB (1,024 B) of RAM or of flash with code, or ms on the STM32H743."""

    figure: str  # "RAM", "flash", "latency"
    net: str
    runtime: str
    value: float


# mit-han-lab/tinyengine README, "Measured Results": STM32H743, int8; TFLM @ 713b6ed, CMSIS-NN @ 011bf32, X-CUBE-AI
# 7.3.0, TinyEngine @ 0363956
ORDER = ("tflm", "tflm_cmsis_nn", "xcubeai", "tinyengine")
MEASURED = {
    ("RAM", FITTED[0]): (163, 163, 88, 59),
    ("RAM", HELD_OUT): (220, 220, 113, 92),
    ("RAM", FITTED[1]): (385, 390, 201, 174),
    ("RAM", MBV2): (None, None, 296, 295),
    ("flash", FITTED[0]): (627, 646, 463, 453),
    ("flash", HELD_OUT): (718, 736, 534, 521),
    ("flash", FITTED[1]): (1016, 1034, 774, 741),
    ("flash", MBV2): (None, None, 857, 839),
    ("latency", FITTED[0]): (587, 53, 32, 27),
    ("latency", HELD_OUT): (1120, 97, 57, 51),
    ("latency", FITTED[1]): (5310, 478, 269, 234),
    ("latency", MBV2): (None, None, 118, 124),
}
# The arena as ST's stm32tflm tool reports it: READMEs of AndreaMattiaGaravagno's ColabNAS and NanoNAS
REPORTED = {
    "colabnas k_2_c_3": 19,
    "colabnas k_4_c_5": 22.5,
    "colabnas k_8_c_5": 33,
    "micronet-vww2": 70.5,
    FITTED[0]: 168.5,
}
ROWS = [
    Row(figure, net, runtime, value)
    for (figure, net), values in MEASURED.items()
    for runtime, value in zip(ORDER, values, strict=True)
    if value is not None
] + [Row("RAM", net, "stm32tflm", value) for net, value in REPORTED.items()]

# What the converter adds around one data input: the shapes of what SHAPE and its like put out, and their constants
SHAPES = {"SHAPE": (4,), "STRIDED_SLICE": (), "PACK": (2,)}


def _shape(text: str) -> list[int]:
    return [] if text == "-" else [int(n) for n in text.split("x")]


def tables(text: str = "") -> dict[str, dict]:
    """The tables of published_nets.txt (or of `text` in its form) in the form of reference_nets.json, by name."""
    nets: dict[str, dict] = {}
    net, shapes = {}, {}
    for line in (text or TABLES.read_text(encoding="utf-8")).splitlines():
        if line.startswith("#"):
            continue
        kind, *words = line.split()
        if kind == "net":
            shapes = {0: _shape(words[0])}
            name = " ".join(words[2:])
            net = nets[name] = {"name": name, "input": 0, "input_shape": shapes[0], "file_bytes": int(words[1])}
            net["layers"] = []
            continue
        inputs, out, shape = [int(n) for n in words[0].split(",")], int(words[1]), _shape(words[2])
        layer = {"op": kind, "in": inputs, "out": out, "out_shape": shape}
        if len(words) > 3:
            layer |= {"kernel": _shape(words[3]), "stride": int(words[4]), "pad": words[5]}
        if len(words) > 6:
            layer["act"] = words[6]
        if kind == "PAD":
            layer["pads"] = [
                0,
                0,
                *((b - a) // 2 for a, b in zip(shapes[inputs[0]], shape, strict=True) for _ in range(2)),
            ]
        shapes[out] = shape
        net["layers"].append(layer)
    return nets


def graph(table: dict) -> Graph:
    """The network of a table in the form of reference_nets.json; equal constants are stored once, as converters do."""
    shape = (1, *table["input_shape"])
    tensors = [Tensor("input", shape, "uint8", prod(shape), 0, 0)]
    ids, stored, operators = {table["input"]: 0}, {}, []

    def constant(*key, element: int = 4, scales: int = 0) -> int:
        """`key`: what makes it the same constant, the last part is the shape."""
        if key not in stored:
            stored[key] = len(tensors)
            size = element * prod(key[-1])
            kind = "int32" if element == 4 else "int8"
            tensors.append(Tensor("", key[-1], kind, size, size, len(tensors), scales))
        return stored[key]

    for i, layer in enumerate(table["layers"]):
        name, inputs = layer["op"], [ids[t] for t in layer["in"]]
        x, out = tensors[inputs[0]].shape, tuple(layer["out_shape"])
        kernel, width = tuple(layer.get("kernel", (1, 1))), out[-1] if out else 0
        weights = {
            "CONV_2D": (width, *kernel, x[-1] if x else 0),
            "DEPTHWISE_CONV_2D": (1, *kernel, width),
            "FULLY_CONNECTED": (width, prod(x)),
        }.get(name)
        if weights:
            scales = 1 if name == "FULLY_CONNECTED" else width
            inputs += [constant(i, weights, element=1, scales=scales), constant(i, (width,), scales=scales)]
        elif name == "PAD":
            inputs.append(constant(tuple(layer["pads"]), (4, 2)))
        elif name == "MEAN":
            inputs.append(constant(name, (2,)))
        elif name == "STRIDED_SLICE":
            inputs += [constant(value, (1,)) for value in (0, 1, 1)]  # begin, end, stride
        elif name == "PACK":
            inputs.append(constant(name, ()))
        if name in SHAPES:
            made = Tensor("", SHAPES[name], "int32", 4 * prod(SHAPES[name]), 0, 0, 0)
        else:
            made = Tensor("", (1, *out), "int8", prod(out), 0, 0)
        tensors.append(made)
        ids[layer["out"]] = len(tensors) - 1
        stride = (layer.get("stride", 1),) * 2
        writes = (len(tensors) - 1,)
        act = layer.get("act", "none")
        operators.append(Operator(name, tuple(inputs), writes, kernel, stride, layer.get("pad", ""), act))
    return Graph(tuple(tensors), tuple(operators), (0,), (len(tensors) - 1,), table["file_bytes"])


def mobilenet_v2(width: float, resolution: int, classes: int = 1000) -> dict:
    """MobileNetV2 (Sandler et al. 2018, table 2) as a table; `width` scales the last convolution, too, as in mcunet."""
    layers: list[dict] = []

    def add(op: str, inputs: list[int], shape: list[int], kernel: int = 0, stride: int = 1, act: str = "none") -> int:
        window = {"kernel": [kernel, kernel], "stride": stride, "pad": "same", "act": act} if kernel else {}
        layers.append({"op": op, "in": inputs, "out": len(layers) + 1, "out_shape": shape, **window})
        return len(layers)

    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * channels * width else rounded + 8

    size, c = resolution // 2, scaled(32)
    x = add("CONV_2D", [0], [size, size, c], 3, 2, "relu6")
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for t, channels, count, first in table:
        for block in range(count):
            before, stride, wide = x, first if block == 0 else 1, t * c
            if t > 1:
                x = add("CONV_2D", [x], [size, size, wide], 1, 1, "relu6")
            size = -(-size // stride)
            x = add("DEPTHWISE_CONV_2D", [x], [size, size, wide], 3, stride, "relu6")
            c = scaled(channels)
            x = add("CONV_2D", [x], [size, size, c], 1)
            if block:
                x = add("ADD", [x, before], [size, size, c])
    x = add("CONV_2D", [x], [size, size, scaled(1280)], 1, 1, "relu6")
    x = add("MEAN", [x], [scaled(1280)])
    add("FULLY_CONNECTED", [x], [classes])
    return {"name": "", "input": 0, "input_shape": [resolution, resolution, 3], "file_bytes": 0, "layers": layers}
