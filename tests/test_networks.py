"""Published networks: the counts of their papers and files, what ours cost instead, and TFLM's answers of them."""

from __future__ import annotations

import json
import re

import pytest
import reference_rows
from deploy_nets import batch_norm_network, pictures

from danas_jax import cli
from danas_jax.baselines import REFERENCES, baseline_layers, references
from danas_jax.config import Baseline, Config
from danas_jax.config_checks import validate
from danas_jax.deploy import fold, quantise, ranges
from danas_jax.deploy.tflite_writer import write_tflite
from danas_jax.deploy.verify import verify
from danas_jax.errors import UserError
from danas_jax.hardware import cost, graph, runtimes, tflm
from danas_jax.layers import total_macs
from danas_jax.networks import NETWORKS, published_layers
from danas_jax.supernet.network import init_variables
from danas_jax.views.audio import AudioView
from danas_jax.views.image import ImageData, ImageView

VIEW = ImageView((96,))
LAYERS = {reference.name: baseline_layers(reference, VIEW, 2) for reference in REFERENCES}
FILES = reference_rows.tables()
# Reference -> its file, and by how many per cent our file is smaller: theirs holds PADs, longer names, a softmax
FILE_OF = {
    "colabnas_k2_c3_50_rgb": ("colabnas k_2_c_3", 32.1),
    "colabnas_k4_c5_50_rgb": ("colabnas k_4_c_5", 16.3),
    "colabnas_k8_c5_50_rgb": ("colabnas k_8_c_5", 5.4),
    "micronet_vww2_50_mono": ("micronet-vww2", 9.4),
    "mcunet_vww0_64_rgb": ("mcunet-vww0 (10fps)", 4.9),
    "mcunet_vww1_80_rgb": ("mcunet-vww1 (5fps)", 4.5),
    "mcunet_vww2_144_rgb": ("mcunet-vww2 (320kB)", 4.4),
}
SMALLEST = {(one.network, one.width_multiplier): one.name for one in reversed(REFERENCES)}  # of each network
MICRONET = "micronet_vww2_50_mono"
ARTEFACTS = ("PAD", "QUANTIZE", "SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "SOFTMAX")


def without_artefacts(table):
    """A file's table less what its converter added around the network."""
    reads, layers = {}, []
    for layer in table["layers"]:
        inputs = [reads.get(t, t) for t in layer["in"]]
        if layer["op"] in ARTEFACTS:
            reads[layer["out"]] = inputs[0]
        else:
            layers.append({**layer, "in": inputs})
    return reference_rows.graph({**table, "layers": layers})


@pytest.mark.parametrize("name", FILE_OF)
def test_it_is_the_network_of_the_file(name):
    net, file = graph.from_layers(LAYERS[name]), without_artefacts(FILES[FILE_OF[name][0]])
    assert net.tensors[0].shape == file.tensors[0].shape
    counts = (graph.total_macs, graph.params)
    if name == MICRONET:  # three projections as wide as their sums
        wider = ((24 - 20) * 28, 13 * 13), ((28 - 16) * 152, 7 * 7), ((24 - 12) * 112, 4 * 4)
        more = sum(weights * places for weights, places in wider), sum(weights for weights, _ in wider) + 28
        assert [count(net) - count(file) for count in counts] == list(more)
        assert more[0] / graph.total_macs(file) < 0.042 and more[1] / graph.params(file) < 0.038
    else:
        assert [count(net) for count in counts] == [count(file) for count in counts]
    assert graph.live_peak_bytes(net) == graph.live_peak_bytes(file)
    assert tflm.arena_device_bytes(net) == pytest.approx(tflm.arena_device_bytes(file), rel=0.012)


@pytest.mark.parametrize("name", FILE_OF)
def test_what_it_costs_beside_the_published_file(name):
    file, smaller_percent = FILE_OF[name]
    figures = cost.cost(LAYERS[name])
    published = FILES[file]["file_bytes"]
    assert 100 * (1 - figures["file_bytes"] / published) == pytest.approx(smaller_percent, abs=0.1)
    net = graph.from_layers(LAYERS[name])
    # the project's fit to published arenas; a toy's records weigh more
    derived = figures["peak_sram_bytes"] + 8 * runtimes.output_channels(net) + 145 * len(net.operators)
    assert figures["arena_device_bytes"] == pytest.approx(derived, rel=0.021)
    measured = reference_rows.MEASURED.get(("RAM", file))
    if measured:  # with the PADs
        assert 0.6 * 1024 * measured[0] < figures["arena_device_bytes"] < 1024 * measured[0]


def test_mobilenet_v2_is_the_published_one(shared):
    path = shared / "reference_nets.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    nets = {net["name"]: net for net in json.loads(path.read_text(encoding="utf-8"))}
    file = without_artefacts(nets["mobilenetv2-0.25"])
    net = graph.from_layers(published_layers("mobilenet_v2", (224, 224, 3), 2, 0.25))
    for figure in (graph.macs, graph.total_macs, graph.params, tflm.arena_device_bytes):
        assert figure(net) == pytest.approx(figure(file), rel=1e-9)


@pytest.mark.parametrize(("side", "mmacs"), [(224, 59), (192, 43), (160, 30), (128, 20), (96, 11)])
def test_mobilenet_v2_035_counts(side, mmacs):
    """MACs (whole millions) and parameters as in TensorFlow's slim/nets/mobilenet README, 1,000 classes."""
    layers = published_layers("mobilenet_v2", (side, side, 3), 1000, 0.35)
    assert total_macs(layers) // 10**6 == mmacs
    assert sum(layer.params for layer in layers) / 1e6 == pytest.approx(1.66, rel=0.01)
    assert published_layers("mobilenet_v2", (96, 96, 3), 2, 1.4)[-1].in_shape == (1, 1, 1792)


def test_the_references():
    assert len(LAYERS) == len(REFERENCES)
    assert {reference.network for reference in REFERENCES} == set(NETWORKS) - {"ds_cnn"}
    for reference in REFERENCES:
        layers = LAYERS[reference.name]
        assert layers[0].in_shape == VIEW.shape(reference.data)
        assert layers[-1].out_shape == (1, 1, 2)
        assert str(reference.data.resolution_px) in reference.name and reference.name.endswith(reference.data.colour)
    assert references(VIEW) == REFERENCES
    assert references(AudioView(16_000, (16_000,), (40,))) == ()
    assert references(ImageView((96,), aspect="4:3")) == ()
    validate(Config(name="c", baselines=references(VIEW)))


@pytest.mark.parametrize("name", SMALLEST.values())
def test_it_is_exported_bit_for_bit(name):
    """From retraining's first weights; MobileNetV2 at its smallest input."""
    layers = LAYERS[name]
    images = pictures(layers[0].in_shape, 6, seed=9)
    params, stats, _ = batch_norm_network(layers, images, init_variables(layers, 0)[0])
    folded = fold.fold_batch_norm(layers, params, stats)
    model = quantise.quantise(layers, folded, ranges.min_max_ranges(layers, folded, images))
    tflite = write_tflite(model, {})
    measured = verify(tflite, model, pictures(layers[0].in_shape, 2, seed=3))
    predicted = cost.cost(layers)
    assert measured["arena_bytes"] == predicted["arena_host_bytes"]
    assert len(tflite) == pytest.approx(predicted["file_bytes"] - 256, rel=0.003, abs=64)


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        (
            Baseline("b", "mobilenet_v3"),
            r"network = 'mobilenet_v3': did you mean mobilenet_v\d\? Networks are mobilenet",
        ),
        (Baseline("b", "x"), r"network = 'x': Networks are mobilenet_v1, mobilenet_v2, mcunet_vww0"),
        (Baseline("b", "mcunet_vww0"), r"'mcunet_vww0' on 96x96x3: width_multiplier = 0.25: .* one width, give 1"),
        (Baseline("b", width_multiplier=0.0), "width_multiplier = 0: give a positive number"),
        (Baseline("b", width_multiplier=0.01), "leaves layers of mobilenet_v1 without channels"),
        (Baseline("b", "colabnas_c5", ImageData(31, "rgb"), 1.0), "layer c4.pool: a map of 1x1 holds no window of 2x2"),
    ],
)
def test_bad_baselines(baseline, said):
    with pytest.raises(UserError, match=f"baselines: b: .*{said}"):
        validate(Config(name="c", baselines=(baseline,)))


def test_the_table_of_the_documentation(repository, capsys):
    """docs/baselines.md has what `danas cost --references` prints."""
    assert cli.main(["cost", "--references"]) == 0
    header, *lines = [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]
    columns = [header.index(name) for name in ("name", "input", "MACs", "parameters", "RAM kB", "file kB", "published")]
    printed = [[line[i] for i in columns] for line in lines]
    assert [line[0] for line in printed] == [reference.name for reference in REFERENCES]
    text = (repository / "docs" / "baselines.md").read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert [row for row in rows if row and row[0] in LAYERS] == printed
    ram = [float(line[4]) for line in printed]
    assert ram == sorted(ram)
