"""`danas bench`: what it prints, how a ratio is made, and that the PyTorch baseline is the same network as ours."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danas_jax import cli, spaces
from danas_jax.bench import command, host, pictures, work, workers
from danas_jax.errors import UserError

KEYS = {
    *("compile_cold_s", "compile_warm_s", "sandwich_step_ms", "images_per_s", "evaluate_forward_ms"),
    *("subnets_per_s", "peak_memory_bytes"),
}
TINY = ("--space", "quickstart", "--batch", "4", "--resolution-px", "16")
# A side that answers at once. As ours it has genes to give, as the baseline it reads the work file.
STAND_IN = """
import json, sys
import numpy as np
answers = {"train": {"sandwich_step_ms": STEP, "images_per_s": 1.0}, "first_step": {"seconds": STEP},
           "evaluate": {"evaluate_forward_ms": 2.0, "subnets_per_s": STEP}, "first_evaluation": {"seconds": 0.5},
           "facts": {"max_macs": 7, "peak_memory_bytes": 5}, "genes": {"sandwiches": [[[0] * 20, [0] * 20]]}}
if sys.argv[1].endswith(".npz"):
    plan = json.loads(str(np.load(sys.argv[1])["plan"]))
    answers["facts"]["flags"] = sys.argv[2:]
    answers["facts"]["passes"] = [len(sandwich) for sandwich in plan["sandwiches"]]
for line in sys.stdin:
    print(json.dumps(answers[line.strip()]), flush=True)
"""


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Both sides replaced: ours takes 1 ms a step, the baseline 4 ms. The compilation caches that ours was given."""
    caches = []
    for name, step in (("ours.py", "1.0"), ("torch.py", "4.0")):
        (tmp_path / name).write_text(STAND_IN.replace("STEP", step))

    def ours(settings, cache):
        caches.append(cache)
        return workers.Worker([sys.executable, str(tmp_path / "ours.py"), settings.to_json()])

    monkeypatch.setattr(command, "_ours", ours)
    monkeypatch.setattr(command, "BASELINE", tmp_path / "torch.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return caches


@pytest.fixture
def nothing_measured(monkeypatch):
    """Whatever gets past the checks fails at once."""
    for name in ("_device", "_host", "_data", "_against_torch"):
        monkeypatch.setattr(command, name, lambda *arguments: pytest.fail("it went on to measure"))


def refusal(capsys, *arguments):
    assert cli.main(["bench", *arguments]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("supernets",), "did you mean supernet? there are supernet, evaluate, cost, search, data"),
        (("cost", "--space", "mobilenet"), "--space = 'mobilenet': give one of conv_tiny, mobilenetv2_tiny"),
        (("cost", "--space", "quickstart", "--width-multiplier", "0.5"), "the space quickstart has fixed widths"),
        (("cost", "--width-multiplier", "-1"), "--width-multiplier = -1.0: give a positive number"),
        (("cost", "--width-multiplier", "nan"), "--width-multiplier = nan: give a positive number"),
        (("cost", "--width-multiplier", "50"), "--width-multiplier = 50: space.head_widths = (64000,)"),
        (("cost", "--batch", "0"), "--batch = 0: give 1 or more"),
        (("cost", "--resolution-px", "4"), "--resolution-px = 4, --width-multiplier = 0.5: space.resolutions_px"),
        (("supernet", "--against", "keras"), "--against = 'keras': the only baseline is torch"),
        (("evaluate", "--against", "torch"), "danas bench supernet --against torch"),
        (("cost", "--bf16"), "--bf16: cost has no training step"),
        (("cost", "--path", "photos"), "--path = 'photos': only danas bench data reads pictures"),
    ],
)
def test_bad_input_is_named(capsys, nothing_measured, arguments, expected):
    assert expected in refusal(capsys, *arguments)


def test_a_missing_torch_or_baseline_is_named(capsys, nothing_measured, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'danas_jax[bench]'" in refusal(capsys, "supernet", "--against", "torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(command, "BASELINE", tmp_path / "torch_baseline.py")
    assert "run it in a checkout" in refusal(capsys, "supernet", "--against", "torch")


def test_a_folder_without_pictures_is_named(capsys, tmp_path):
    assert "no such folder" in refusal(capsys, "data", "--path", str(tmp_path / "nowhere"))
    assert "no class folders in it" in refusal(capsys, "data", "--path", str(tmp_path))


def test_data_is_measured_on_its_own_pictures_or_mine(tmp_path, monkeypatch):
    """A few pictures, so what is asked is that the figures belong together, not how large they are."""
    monkeypatch.setattr(command, "make_pictures", lambda root: pictures.make_pictures(root, 600))
    monkeypatch.setattr(command, "TURNS", 1)
    found = command.bench(["data", "--batch", "8", "--resolution-px", "32", "--json"])
    assert found["settings"]["space"] == "quickstart"
    assert found["pictures"] == 600  # one block holds them all, whatever split they are of
    assert found["images_per_s"] == pytest.approx(8000 / found["step_ms"])
    assert 0 < found["waiting_share"] < 1
    for rate in ("decoded_per_s", "decode_cpu_ms", "check_gb_per_s", "fed_per_s", "view_ms"):
        assert found[rate] > 0
    pictures.make_pictures(tmp_path, 120)
    made = sorted(tmp_path.rglob("*.jpg"))
    assert len(made) == 120
    with Image.open(made[0]) as image:
        assert (image.size, image.format) == ((160, 160), "JPEG")


def test_defaults_follow_the_space():
    assert dataclasses.astuple(work.Settings())[:4] == ("ofa_proxyless", 0.5, 32, 64)
    assert work.Settings("quickstart").width_multiplier == 1
    settings = work.Settings("ofa_proxyless", 0.25, 2, 32)
    assert settings.search_space == spaces.ofa_proxyless((32,), ("rgb",), 0.25)
    assert work.Settings.from_json(settings.to_json()) == settings


def test_work_depends_on_nothing_but_the_settings():
    settings = work.Settings("quickstart", batch=2, resolution_px=16)
    one, two = (dataclasses.astuple(work.make_work(settings)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    other = work.make_work(dataclasses.replace(settings, seed=1))
    assert (other.subnets != one[0]).any()


def test_the_sides_measure_in_turns_and_ratios_are_medians_of_turns():
    asked = []

    class Side:
        def __init__(self, name, steps, forwards, rates):
            self.name, self.figures = name, {"train": steps, "evaluate": list(zip(forwards, rates, strict=True))}

        def ask(self, request):
            asked.append((self.name, request))
            figure = self.figures[request].pop(0)
            keys = ("evaluate_forward_ms", "subnets_per_s")
            return {"sandwich_step_ms": figure} if request == "train" else dict(zip(keys, figure, strict=True))

    ours = Side("ours", [1.0, 90.0, 3.0], [1.0, 1.0, 1.0], [10.0, 10.0, 10.0])
    torch = Side("torch", [2.0, 10.0, 2.0], [2.0, 4.0, 8.0], [5.0, 20.0, 1.0])
    turns = command.alternate(ours, torch, 3)
    assert asked == [("ours", "train"), ("ours", "evaluate"), ("torch", "train"), ("torch", "evaluate")] * 3
    # Not the ratio of the medians (3 / 2): the median of 0.5, 9, 1.5. A rate's ratio is that of the times, too.
    assert command.ratios(turns) == {"sandwich_ratio": 1.5, "evaluate_ratio": 0.25, "subnets_ratio": 0.5}


def test_against_a_baseline_every_key_is_there_twice(capsys, stand_ins):
    assert cli.main(["bench", "supernet", *TINY, "--against", "torch", "--bf16", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["torch"]["flags"] == ["--bf16"]
    assert (result["schema_version"], result["part"]) == (1, "supernet")
    assert result["settings"] == dataclasses.asdict(work.Settings("quickstart", 1.0, 4, 16, "bfloat16"))
    assert result["machine"].keys() >= {"platform", "cpus", "jax_version", "load_average_1m"}
    assert result.keys() >= KEYS
    assert result["torch"].keys() >= KEYS
    assert (result["max_macs"], result["torch"]["max_macs"]) == (7, 7)
    assert result["torch"]["passes"] == [2]
    assert (result["compile_cold_s"], result["compile_warm_s"]) == (1, 1)
    assert (result["torch"]["compile_cold_s"], result["torch"]["compile_warm_s"]) == (4, 4)
    assert (result["sandwich_ratio"], result["evaluate_ratio"], result["subnets_ratio"]) == (0.25, 1, 4)
    assert len(result["turns"]) == 5


def test_evaluate_alone_prints_a_table(capsys, stand_ins):
    assert cli.main(["bench", "evaluate", *TINY]) == 0
    rows = dict(line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert float(rows.pop("start_warm_s")) > 0
    assert rows == {
        "max_macs": "7",
        "peak_memory_bytes": "5",
        "evaluate_forward_ms": "2",
        "subnets_per_s": "1",
        "compile_cold_s": "0.5",
        "compile_warm_s": "0.5",
    }
    # An empty cache, and then the same one.
    assert len(stand_ins) == 2
    assert stand_ins[0] == stand_ins[1]
    assert not Path(stand_ins[0]).exists()


def test_the_measuring_process_answers_every_request():
    settings = work.Settings("quickstart", batch=4, resolution_px=16)
    asked = ("genes", "first_step", "train", "first_evaluation", "evaluate", "facts")
    # With the tests' own compilation cache: this is not about compile times.
    with workers.Worker([sys.executable, "-m", "danas_jax.bench.device", settings.to_json()]) as worker:
        genes, first, train, first_evaluation, evaluate, facts = (worker.ask(request) for request in asked)
    assert first["seconds"] > train["sandwich_step_ms"] / 1000 > 0
    assert train["images_per_s"] == pytest.approx(4000 / train["sandwich_step_ms"])
    assert first_evaluation["seconds"] > work.RECALIBRATED / evaluate["subnets_per_s"]
    assert evaluate["evaluate_forward_ms"] > 0
    assert facts["max_macs"] == 211_200
    assert 50e6 < facts["peak_memory_bytes"] < 50e9
    space = settings.search_space
    assert len(genes["sandwiches"]) == work.SANDWICHES
    for sandwich in genes["sandwiches"]:
        assert len(sandwich) == 2 + work.RANDOM_SUBNETS
        assert (sandwich[0], sandwich[1]) == (space.max_genes.tolist(), space.min_genes.tolist())


@pytest.mark.slow
def test_the_second_start_is_warm(capsys):
    assert cli.main(["bench", "supernet", *TINY, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result.keys() >= KEYS
    assert all(result[key] > 0 for key in KEYS)
    assert result["compile_cold_s"] > 2 * result["compile_warm_s"] > result["sandwich_step_ms"] / 1000
    assert result["start_warm_s"] > result["compile_warm_s"]


def test_cost_and_search_are_timed(capsys):
    settings = work.Settings("quickstart", resolution_px=16)
    assert settings.whole_space == spaces.quickstart()
    figures = host.cost_figures(settings.whole_space, 10, seed=0, candidates=10_000, checked=50)
    assert figures["candidates_per_s"] > 10 * figures["single_candidates_per_s"] > 100
    assert figures["differing_figures"] == 0
    errors = [figures[f"arena_bound_error_{name}"] for name in ("min", "mean", "max")]
    assert 0 <= errors[0] <= errors[1] <= errors[2] < 0.1
    assert cli.main(["bench", "search", *TINY, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert 0 < result["search_s"] < 60
    assert 32 <= result["evaluations_per_s"] * result["search_s"] < 1000
    assert host.screen_seconds(10, seed=0, candidates=10_000) < result["screen_1m_s"] < 30
    assert 0 < result["evolution_100x500_s"] < 60


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("raise RuntimeError('no such layer')", RuntimeError, "at 'train': RuntimeError: no such layer"),
        ("import os; os.kill(os.getpid(), 9)", UserError, "give a smaller --batch"),
        ("raise MemoryError", UserError, "give a smaller --batch"),
    ],
)
def test_a_worker_that_fails_says_why(code, kind, text):
    with workers.Worker([sys.executable, "-c", code]) as worker, pytest.raises(kind, match=text):
        worker.ask("train")


@pytest.fixture(scope="module")
def baseline():
    """benchmarks/torch_baseline.py as a module."""
    pytest.importorskip("torch", reason="the extra `bench` (torch) is not installed")
    spec = importlib.util.spec_from_file_location("torch_baseline", command.BASELINE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def any_params(layers):
    """Weights of danas_jax's shapes in float64, no two channels alike and batch norm away from the identity."""
    rng = np.random.default_rng(0)
    params = {}
    for layer in (layer for layer in layers if layer.weight_shape):
        width, spread = layer.out_shape[2], np.prod(layer.weight_shape[:-1]) ** -0.5
        arrays = {"kernel": spread * rng.normal(size=layer.weight_shape), "bias": rng.normal(0, 0.3, width)}
        if layer.batch_norm:
            arrays["scale"] = rng.uniform(0.5, 1.5, width)
        params[layer.name] = arrays
    return params


def test_the_baseline_is_the_same_network(baseline):
    import jax
    import torch

    from danas_jax.supernet import elastic
    from danas_jax.supernet.network import Network

    space, classes = spaces.ofa_proxyless((32,), ("rgb",), 0.25), 5
    largest = space.layers(space.max_genes, classes)
    params = any_params(largest)
    images = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3)).astype(np.float64)

    @jax.jit
    def ours(genes):
        masks = elastic.masks(space, genes, largest)
        return Network(largest).apply({"params": params}, (images - 128) / 128, masks, train=True)

    def theirs(genes):
        return baseline.read_layers([dataclasses.asdict(layer) for layer in space.layers(genes, classes)])

    net = baseline.Supernet(theirs(space.max_genes), torch.device("cpu"), tensorflow_padding=True)
    net.weights = {name: {key: a.detach().double() for key, a in w.items()} for name, w in net.weights.items()}
    net.load(params)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    for genes in (space.max_genes, space.min_genes, *space.sample(np.random.default_rng(5), 3)):
        # In float32 both round, sixty batch normalisations deep, by up to 1e-3: float64 shows that they are the same.
        with jax.enable_x64(True):
            expected = np.asarray(ours(genes))
        assert np.ptp(expected) > 0.5
        np.testing.assert_allclose(net.forward(theirs(genes), x).detach().numpy(), expected, atol=1e-6)


@pytest.mark.slow
def test_the_baseline_runs_where_torch_is(baseline, capsys, monkeypatch):
    monkeypatch.setattr(command, "ALTERNATIONS", 1)
    assert cli.main(["bench", "supernet", *TINY, "--against", "torch", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["torch"].keys() >= KEYS
    assert result["torch"]["max_macs"] == result["max_macs"]
    assert all(result["torch"][key] > 0 for key in KEYS)
    assert all(result[key] > 0 for key in command.RATIOS)
