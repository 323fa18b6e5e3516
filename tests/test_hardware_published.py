"""Published RAM, flash, latency and file sizes are what the runtimes' formulas say; `pytest -s` prints every row."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache

import pytest
import reference_rows
from reference_rows import FITTED, MBV2, ROWS

from danas_jax.errors import UserError
from danas_jax.hardware import graph, latency, runtimes, tflite_reader

TABLES = reference_rows.tables() | {MBV2: reference_rows.mobilenet_v2(0.35, 144)}
BOUND_PERCENT = {"RAM": 3.0, "flash": 5.0, "latency": 5.0, "file": 5.0}
WORSE = {  # what is known to be further off, and why
    ("RAM", MBV2, "xcubeai"): 5.0,  # the tool's rules of overlapping tensors are not public
    ("latency", MBV2, "tinyengine"): 20.0,  # a MAC of a MobileNetV2 costs more than one of the person detectors
}
# Rows of the same README whose layer tables we have not; MACs as in the README of mit-han-lab/mcunet
OTHERS = {
    "mcunet-in0": (6.4, (586, 51, 35, 25)),
    "mcunet-in2": (67.3, (6463, 642, 351, 280)),
    "mcunet-in4": (125.9, (None, None, 516, 463)),
}


FILE_BYTES_PER_TENSOR = 233  # for names, shapes and operators; fitted to mcunet-vww0 and mcunet-vww2


def converted_file_bytes(net):
    """Size of the file that TensorFlow's converter writes [B]; what danas_jax.deploy writes is smaller: flash.py.

    Weights, a scale (4 B) and a zero point (8 B) per channel of kernel and bias, and FILE_BYTES_PER_TENSOR. Within 2 %
    of 12 published person detectors (harvard-edge/Wake_Vision, model_zoo).
    """
    per_channel = 2 * (4 + 8) * runtimes.output_channels(net)
    return graph.weight_bytes(net) + per_channel + FILE_BYTES_PER_TENSOR * len(net.tensors)


@cache
def network(name):
    """The graph, as if there were no file: its size is the predicted one."""
    net = reference_rows.graph(TABLES[name])
    return dataclasses.replace(net, file_bytes=converted_file_bytes(net))


def predicted(row):
    net, runtime = network(row.net), runtimes.runtime(row.runtime)
    if row.figure == "latency":
        return latency.latency_ms(graph.total_macs(net), "", row.runtime)
    size = runtimes.ram_bytes(net, runtime) if row.figure == "RAM" else runtimes.flash(net, runtime).code_bytes
    return size / 1024


def report(figure, net, runtime, published, ours):
    """Error in per cent; printed."""
    error = 100 * (ours / published - 1)
    print(
        f"\n{figure:8}{net:22}{runtime:14}published {published:9g}  predicted {ours:9.1f}  error {error:+6.2f} %",
        end="",
    )
    return error


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.figure}-{row.net}-{row.runtime}")
def test_published_row(row):
    error = report(*row, predicted(row))
    assert abs(error) <= WORSE.get(row[:3], BOUND_PERCENT[row.figure])


@pytest.mark.parametrize("name", [name for name in TABLES if name != MBV2])
def test_published_file_size(name):
    published = TABLES[name]["file_bytes"]
    assert abs(report("file", name, "converter", published, network(name).file_bytes)) <= BOUND_PERCENT["file"]


def worst(errors):
    """The largest error either way, rounded up to a tenth of a per cent."""
    return math.ceil(10 * max(map(abs, errors)) - 1e-9) / 10


def errors_of(figure, name):
    return [100 * (predicted(row) / row.value - 1) for row in ROWS if (row.figure, row.runtime) == (figure, name)]


@pytest.mark.parametrize("name", runtimes.RUNTIMES)
def test_stated_errors_of_ram_and_flash(name):
    runtime = runtimes.runtime(name)
    assert runtime.ram_error_percent == worst(errors_of("RAM", name))
    flash = errors_of("flash", name)
    assert runtime.flash_error_percent == (worst(flash) if flash else None)


@pytest.mark.parametrize("name", reference_rows.ORDER)
def test_stated_errors_of_latency(name):
    column = reference_rows.ORDER.index(name)
    others = [
        report("latency", net, name, values[column], latency.latency_ms(1e6 * mmacs, "", name))
        for net, (mmacs, values) in OTHERS.items()
        if values[column] is not None
    ]
    error = worst(errors_of("latency", name) + others)
    assert latency.LINES[latency.REFERENCE, name][2] == error
    assert f"within {error:g} %" in latency.line("", name).basis


def value(figure, net, name):
    """The published figure [B or ms]."""
    row = next(row for row in ROWS if row[:3] == (figure, net, name))
    return row.value * (1 if figure == "latency" else 1024)


def through(points):
    """(intercept, slope) of the line through two points."""
    (x, y), (x2, y2) = points
    slope = (y2 - y) / (x2 - x)
    return y - slope * x, slope


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def test_the_constants_are_those_of_the_rows_fitted_on():
    nets = {name: network(name) for name in FITTED}
    weights = {name: graph.weight_bytes(net) for name, net in nets.items()}
    channels = {name: runtimes.output_channels(net) for name, net in nets.items()}

    def beyond(figure, net, name):
        """What is left of a published size once what is not fitted is taken off."""
        runtime = runtimes.runtime(name)
        if figure == "RAM":
            known = runtimes.ram_bytes(nets[net], dataclasses.replace(runtime, ram_fixed_bytes=0))
        else:
            known = TABLES[net]["file_bytes"] if runtime.stores == "file" else weights[net]
        return value(figure, net, name) - known

    tflm, cmsis, cube, tiny, st = (runtimes.runtime(name) for name in (*reference_rows.ORDER, "stm32tflm"))
    assert (tflm.ram_fixed_bytes, cmsis.ram_fixed_bytes, tiny.ram_fixed_bytes) == (0, 0, 0)
    assert cube.ram_fixed_bytes == round(mean(beyond("RAM", net, "xcubeai") for net in FITTED))
    assert st.ram_fixed_bytes == beyond("RAM", FITTED[0], "stm32tflm")

    assert tflm.flash_fixed_bytes == round(mean(beyond("flash", net, "tflm") for net in FITTED), -2)
    assert cmsis.flash_fixed_bytes == round(mean(beyond("flash", net, "tflm_cmsis_nn") for net in FITTED), -2)
    fixed, slope = through([(channels[net], beyond("flash", net, "xcubeai")) for net in FITTED])
    assert (cube.flash_fixed_bytes, cube.flash_bytes_per_channel) == (round(fixed, -2), round(slope, 1))
    fixed = mean(beyond("flash", net, "tinyengine") - tiny.flash_bytes_per_channel * channels[net] for net in FITTED)
    assert tiny.flash_fixed_bytes == round(fixed, -2)

    for name in reference_rows.ORDER:
        line = through([(graph.total_macs(nets[net]) / 1e6, value("latency", net, name)) for net in FITTED])
        for ours, fit in zip(latency.LINES[latency.REFERENCE, name], line, strict=False):
            assert ours == pytest.approx(fit, rel=3e-3)

    per_tensor = [
        (TABLES[net]["file_bytes"] - weights[net] - 24 * channels[net]) / len(nets[net].tensors) for net in FITTED
    ]
    assert round(mean(per_tensor)) == FILE_BYTES_PER_TENSOR


def test_mbv2_is_the_published_network():
    # mit-han-lab/mcunet README, mbv2-320kB: 23.5M MACs, 0.75M parameters
    assert graph.total_macs(network(MBV2)) / 1e6 == pytest.approx(23.5, abs=0.05)
    assert graph.params(network(MBV2)) / 1e6 == pytest.approx(0.75, abs=0.01)


def test_tables_are_those_of_the_files(shared):
    path = shared / "reference_nets.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    nets = {net["name"]: net for net in json.loads(path.read_text(encoding="utf-8"))}
    assert {name: table for name, table in TABLES.items() if name != MBV2}.items() <= nets.items()
    for name, table in nets.items():
        net = reference_rows.graph(table)
        assert len(net.tensors) == 1 + max(layer["out"] for layer in table["layers"]), name
        size = converted_file_bytes(net)
        assert abs(report("file", name, "converter", table["file_bytes"], size)) < 2, name


def test_a_table_is_the_graph_of_its_file(shared):
    path = shared / "models" / "person_teacher_144px.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    ours, read = network(FITTED[1]), tflite_reader.read(path)
    for figures in (graph.macs, graph.params, graph.weight_bytes, graph.live_bytes):
        assert figures(ours) == figures(read)
    assert sorted(t.scales for t in ours.tensors) == sorted(t.scales for t in read.tensors)
    for runtime in runtimes.RUNTIMES.values():
        assert runtimes.live_bytes(ours, runtime) == runtimes.live_bytes(read, runtime)
        assert runtimes.static_bytes(ours, runtime) == runtimes.static_bytes(read, runtime)


def test_every_runtime_has_its_source():
    assert all(len(runtime.source) > 20 for runtime in runtimes.RUNTIMES.values())
    with pytest.raises(UserError, match=r"runtime = 'tinyengin' is not known; did you mean tinyengine"):
        runtimes.runtime("tinyengin")
    with pytest.raises(UserError, match=r"runtime = '' is not known; known runtimes: tflm, "):
        runtimes.runtime("")
    with pytest.raises(UserError, match="runtime = 'stm32tflm' has no latency line"):
        latency.line("", "stm32tflm")
