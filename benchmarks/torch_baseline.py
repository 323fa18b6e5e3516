"""The supernet of `danas bench supernet --against torch`: plain PyTorch, eager, weights sliced for every subnet.

The style that Once-for-all (Cai et al. 2020) made standard, written anew: one set of weights as large as the largest
subnet; a subnet takes the first channels of each kernel and the taps in its centre (OFA's own code multiplies them with
a learned matrix; the centre is what danas_jax does), leaves out the blocks beyond its depth, and normalises by its
batch. Default contiguous tensors on a CPU; on a GPU channels_last. Needs torch and NumPy, nothing of danas_jax.

    python benchmarks/torch_baseline.py WORK.npz [--bf16]     # started by danas; docs/bench.md explains the figures

WORK.npz is written by danas_jax/bench/work.py. One word a line on standard input, one JSON object a line as answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from collections import namedtuple
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

BN_EPSILON = 1e-3
_FIELDS = ("name", "op", "inputs", "in_shape", "out_shape", "kernel", "stride", "activation", "batch_norm")
Layer = namedtuple("Layer", _FIELDS)  # danas_jax.layers.LayerSpec


def read_layers(rows: list[dict]) -> list[Layer]:
    """A network out of JSON; every layer must read the one before it (an addition: and an earlier one)."""
    layers = [Layer(**row) for row in rows]
    for before, layer in pairwise(layers):
        assert layer.inputs[0] == before.name, f"{layer.name} does not follow {before.name}"
    return layers


class Supernet:
    """The weights of `layers` (the largest network), and the forward of any subnet of it."""

    def __init__(self, layers: list[Layer], device: torch.device, tensorflow_padding: bool = False):
        """`tensorflow_padding`: SAME as TensorFlow (one more below and right), which costs a copy per stride 2."""
        self.device, self.tensorflow_padding = device, tensorflow_padding
        self.weights: dict[str, dict[str, torch.Tensor]] = {}
        self.macs: int | None = None  # when a number: multiply-accumulates per image of the forwards since are added
        for layer in layers:
            if layer.op not in ("conv", "depthwise", "dense"):
                continue
            width = layer.out_shape[2]
            if layer.op == "dense":
                shape, spread = (width, int(np.prod(layer.in_shape))), np.prod(layer.in_shape) ** -0.5
            else:
                inputs = layer.in_shape[2] if layer.op == "conv" else 1
                fan = int(np.prod(layer.kernel)) * (width if layer.op == "conv" else 1)
                shape, spread = (width, inputs, *layer.kernel), (2.0 / fan) ** 0.5
            arrays = {"kernel": spread * torch.randn(shape), "bias": torch.zeros(width)}
            if layer.batch_norm:
                arrays["scale"] = torch.ones(width)
            self.weights[layer.name] = {key: a.to(device).requires_grad_() for key, a in arrays.items()}

    def load(self, params: dict) -> None:
        """Take over danas_jax params: {layer: {"kernel", "scale", "bias"}} of NumPy arrays."""
        for name, arrays in params.items():
            for key, array in arrays.items():
                array = np.asarray(array)
                if key == "kernel":  # [k, k, in, out], [k, k, c] or [in, out]
                    array = array[:, :, None] if array.ndim == 3 else array
                    array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
                with torch.no_grad():
                    self.weights[name][key].copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def fresh_statistics(self) -> dict[str, dict[str, torch.Tensor]]:
        """Mean 0 and variance 1 of every batch normalisation, at full width."""
        return {
            name: {"mean": torch.zeros_like(w["scale"]).detach(), "var": torch.ones_like(w["scale"]).detach()}
            for name, w in self.weights.items()
            if "scale" in w
        }

    def forward(
        self, layers: list[Layer], images: torch.Tensor, statistics: dict | None = None, momentum: float | None = None
    ) -> torch.Tensor:
        """Logits [B, classes] of the subnet `layers` on images [B, 3, R, R] in 0..255.

        Without `statistics`: normalised by the batch. With them: by them. With `momentum` too: by the batch, whose
        statistics are averaged into them with that weight.
        """
        x = (images - 128.0) / 128.0
        entries = {layer.inputs[1] for layer in layers if layer.op == "add"}
        kept = {}
        for layer in layers:
            if layer.op == "add":
                x = x + kept.pop(layer.inputs[1])
            elif layer.op == "avg_pool":
                x = x.mean((2, 3))
            elif layer.op == "dense":
                weights = self.weights[layer.name]
                kernel = weights["kernel"][:, : x.shape[1]]
                self._count(layer, kernel)
                x = F.linear(x, kernel, weights["bias"])
            else:
                x = self._unit(layer, x, statistics, momentum)
            if layer.name in entries:
                kept[layer.name] = x
        return x

    def _unit(self, layer: Layer, x: torch.Tensor, statistics: dict | None, momentum: float | None) -> torch.Tensor:
        """A convolution, its batch normalisation and its activation."""
        weights, width, k = self.weights[layer.name], layer.out_shape[2], layer.kernel[0]  # square
        kernel = weights["kernel"]
        cut = (kernel.shape[2] - k) // 2
        depthwise = layer.op == "depthwise"
        kernel = kernel[:width, : 1 if depthwise else layer.in_shape[2], cut : cut + k, cut : cut + k].contiguous()
        self._count(layer, kernel)
        padding = k // 2
        if self.tensorflow_padding and k > 1:
            total = max((layer.out_shape[0] - 1) * layer.stride + k - layer.in_shape[0], 0)
            x, padding = F.pad(x, (total // 2, total - total // 2) * 2), 0
        x = F.conv2d(x, kernel, stride=layer.stride, padding=padding, groups=width if depthwise else 1)
        mean = var = None
        if statistics is not None:
            mean, var = statistics[layer.name]["mean"][:width], statistics[layer.name]["var"][:width]
        training = statistics is None or momentum is not None
        x = F.batch_norm(
            x, mean, var, weights["scale"][:width], weights["bias"][:width], training, momentum or 0.0, BN_EPSILON
        )
        return F.relu6(x, inplace=True) if layer.activation == "relu6" else x

    def _count(self, layer: Layer, kernel: torch.Tensor) -> None:
        if self.macs is not None:
            self.macs += kernel.numel() * layer.out_shape[0] * layer.out_shape[1]


class Bench:
    """The timings of one work file: the same requests and answers as danas_jax/bench/device.py."""

    def __init__(self, path: str, bf16: bool):
        torch.manual_seed(0)
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        self.plan = json.loads(str(arrays.pop("plan")))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bf16 = bf16
        self.largest = read_layers(self.plan["layers"])
        self.sandwiches = [[read_layers(rows) for rows in sandwich] for sandwich in self.plan["sandwiches"]]
        self.subnets = [read_layers(rows) for rows in self.plan["subnets"]]
        self.net = Supernet(self.largest, self.device)
        self.statistics = self.net.fresh_statistics()
        self.images = self._pixels(arrays["images"])
        recipe, size = self.plan["recipe"], self.plan["evaluation_batch"]
        labels = torch.from_numpy(arrays["labels"]).long().to(self.device)
        smooth = recipe["label_smoothing"]
        self.targets = F.one_hot(labels, self.plan["num_classes"]) * (1 - smooth) + smooth / self.plan["num_classes"]
        self.calibration = self._pixels(arrays["calibration"]).split(size)
        search_labels = torch.from_numpy(arrays["search_labels"]).long().to(self.device)
        self.search = list(zip(self._pixels(arrays["search"]).split(size), search_labels.split(size), strict=True))
        every = [tensor for weights in self.net.weights.values() for tensor in weights.values()]
        kernels = [weights["kernel"] for weights in self.net.weights.values()]
        others = [t for weights in self.net.weights.values() for key, t in weights.items() if key != "kernel"]
        self.every, self.clip, self.steps = every, recipe["gradient_clip"], 0
        groups = [
            {"params": kernels, "weight_decay": recipe["weight_decay"]},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe["learning_rate"], fused=True)

    def _pixels(self, images: np.ndarray) -> torch.Tensor:
        """[N, R, R, 3] -> float [N, 3, R, R] on the device."""
        x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float().to(self.device)
        return x.to(memory_format=torch.channels_last) if self.device.type == "cuda" else x

    def _precision(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else contextlib.nullcontext()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _step(self) -> None:
        """One sandwich: the largest on the labels, the others on its soft labels; one optimiser step."""
        sandwich = self.sandwiches[self.steps % len(self.sandwiches)]
        targets = self.targets
        self.optimiser.zero_grad(set_to_none=True)
        for i, layers in enumerate(sandwich):
            with self._precision():
                logits = self.net.forward(layers, self.images).float()
            (F.cross_entropy(logits, targets) / len(sandwich)).backward()
            if i == 0:
                targets = logits.detach().softmax(-1)
        torch.nn.utils.clip_grad_norm_(self.every, self.clip)
        self.optimiser.step()
        self.steps += 1

    def first_step(self) -> dict:
        """Seconds of the first step. Nothing is compiled, so this is its whole start."""
        started = time.perf_counter()
        self._step()
        self._wait()
        return {"seconds": time.perf_counter() - started}

    def train(self) -> dict:
        """Mean milliseconds of one sandwich step over a turn."""
        started = time.perf_counter()
        for _ in range(self.plan["steps"]):
            self._step()
        self._wait()
        step_s = (time.perf_counter() - started) / self.plan["steps"]
        return {"sandwich_step_ms": 1e3 * step_s, "images_per_s": len(self.images) / step_s}

    @torch.no_grad()
    def _logits(self, layers: list[Layer], images: torch.Tensor, statistics: dict) -> torch.Tensor:
        with self._precision():
            return self.net.forward(layers, images, statistics)

    @torch.no_grad()
    def _accuracy(self, layers: list[Layer]) -> float:
        """Recalibrated on the calibration batches (cumulative averages), then counted on the search batches."""
        statistics = self.net.fresh_statistics()
        for i, images in enumerate(self.calibration):
            with self._precision():
                self.net.forward(layers, images, statistics, momentum=1.0 / (i + 1))
        right = [(self._logits(layers, images, statistics).argmax(-1) == y).sum() for images, y in self.search]
        return float(sum(right)) / sum(len(y) for _, y in self.search)

    def first_evaluation(self) -> dict:
        """Seconds of the first turn of `evaluate`."""
        started = time.perf_counter()
        self.evaluate()
        return {"seconds": time.perf_counter() - started}

    def evaluate(self) -> dict:
        """Mean milliseconds of a random subnet's forward of the batch; subnets recalibrated and judged per second."""
        started = time.perf_counter()
        for layers in self.subnets * self.plan["forward_rounds"]:
            self._logits(layers, self.images, self.statistics)
            self._wait()
        forward_s = (time.perf_counter() - started) / (self.plan["forward_rounds"] * len(self.subnets))
        count = self.plan["recalibrated"]
        started = time.perf_counter()
        for layers in self.subnets[:count]:
            self._accuracy(layers)
        subnet_s = (time.perf_counter() - started) / count
        return {"evaluate_forward_ms": 1e3 * forward_s, "subnets_per_s": 1 / subnet_s}

    def facts(self) -> dict:
        """The device, the largest subnet's MACs as they were executed, and the memory taken at most."""
        self.net.macs = 0
        self._logits(self.largest, self.images[:1], self.statistics)
        macs, self.net.macs = self.net.macs, None
        if self.device.type == "cuda":
            peak, kind = torch.cuda.max_memory_allocated(), torch.cuda.get_device_name()
        else:
            peak, kind = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "cpu"
            peak *= 1 if sys.platform == "darwin" else 1024
        return {
            "max_macs": macs,
            "peak_memory_bytes": peak,
            "device": self.device.type,
            "device_kind": kind,
            "torch_version": torch.__version__,
            "threads": torch.get_num_threads(),
            "compute_dtype": "bfloat16" if self.bf16 else "float32",
        }


def main() -> None:
    """Answer requests until standard input ends; what libraries print goes to standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", metavar="WORK.npz")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    options = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    bench = Bench(options.work, options.bf16)
    names = ("first_step", "train", "first_evaluation", "evaluate", "facts")
    answers = {name: getattr(bench, name) for name in names}
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), file=out, flush=True)


if __name__ == "__main__":
    main()
