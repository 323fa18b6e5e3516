"""The whole job: what it leaves, who reads which pictures, and what bad input gets."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline_toys import WITH_BASELINE, config_file

from danas_jax import cli, pipeline
from danas_jax.config import Config, Limits
from danas_jax.data import synthetic
from danas_jax.deploy import finalists as deploy_finalists
from danas_jax.deploy.answers import KINDS, read_answers
from danas_jax.deploy.verify import measure_arena, run_tflm
from danas_jax.hardware import boards
from danas_jax.hardware.cost import COST_KEYS
from danas_jax.phases import supernet

SUMMARY = {
    *("schema_version", "name", "seed", "search_metric", "classes", "finalists", "comparisons"),
    *("supernet_image_views", "times_s", "pairs"),
}
FINALIST = {
    *("id", "name", "kind", "genes", "data", "arch", "budget", "predicted", "measured", "accuracy", "files"),
    *("retrain_image_views", "on_board", "figures", "operating_point"),
}
MEASURED = ("search", "float_validation", "int8_validation", "int8_test")
ACCURACY = {*MEASURED, *(f"{kind}_interval" for kind in MEASURED)}
TABLE = "op,input,output,kernel,stride,padding,ms\nOVERHEAD,,,,,,7000\nCONV_2D,8x8x4,8x8x8,1,1,same,1\n"
PHASES = ("train", "search", "retrain", "export")


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's content and time of change."""
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def smoke(place):
    """`danas run quickstart --smoke`."""
    assert cli.main(["run", "quickstart", "--smoke"]) == 0
    return place / "runs" / "quickstart-smoke"


@pytest.fixture(scope="module")
def watched(place):
    """A run with a baseline: its folder, the scenes drawn and the files tested, each with the phase that did it."""
    drawn, tested, phase = [], [], [None]
    with pytest.MonkeyPatch.context() as patch:
        for name, real in {name: getattr(pipeline, f"{name}_phase") for name in PHASES}.items():

            def entered(state, name=name, real=real):
                phase[0] = name
                return real(state)

            patch.setattr(pipeline, f"{name}_phase", entered)
        scene, answers = synthetic.scene, deploy_finalists.test_answers
        patch.setattr(synthetic, "scene", lambda *a: drawn.append((phase[0], *a[1:3])) or scene(*a))
        patch.setattr(
            deploy_finalists, "test_answers", lambda f, *a: tested.append((phase[0], f.name)) or answers(f, *a)
        )
        table = place / "table.csv"
        table.write_text('# {"board": "rp2040", "runtime": "tflm", "version": 1}\n' + TABLE)
        assert cli.main(["run", config_file(place, "WITH_BASELINE"), "--lut", str(table)]) == 0
    return place / "runs" / "with_baseline", drawn, tested


def check_summary(folder: Path) -> dict:
    """The documented keys and no others, and every figure against the files themselves."""
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) == SUMMARY
    assert set(summary["times_s"]) == {"train", "search", "retrain"}
    for finalist in summary["finalists"]:
        assert set(finalist) == FINALIST
        assert set(finalist["accuracy"]) == ACCURACY
        assert set(finalist["data"]) == {"resolution_px", "colour"}
        assert set(finalist["predicted"]) == {*COST_KEYS, "latency_shares"}
        assert finalist["on_board"] == {"input_pipeline_bytes": 0, "input_pipeline_ms": 0.0, "energy_mj": None}
        assert set(finalist["measured"]) == {"arena_bytes", "file_bytes"}
        assert set(finalist["files"]) == {"tflite", "header", "manifest"}
        assert all((folder / path).is_file() for path in finalist["files"].values())
        for kind in MEASURED[finalist["kind"] == "baseline" :]:  # no search measured a baseline
            low, high = finalist["accuracy"][f"{kind}_interval"]
            assert 0 <= low <= finalist["accuracy"][kind] <= high <= 1
        check_file(folder, finalist)
    return summary


def check_file(folder: Path, finalist: dict) -> None:
    """The .tflite runs inside the stated arena, which is the predicted one, and keeps the budget."""
    tflite = (folder / finalist["files"]["tflite"]).read_bytes()
    manifest = json.loads((folder / finalist["files"]["manifest"]).read_text())
    measured, predicted = finalist["measured"], finalist["predicted"]
    assert manifest["memory"]["measured"] == measured
    quantisation = manifest["quantisation"]
    exported = json.loads((folder / finalist["files"]["manifest"]).with_name("measured.json").read_text())
    assert exported["quantisation"] == quantisation
    assert set(quantisation["tried"]) == {"minmax", "percentile", "mse"}
    kept = quantisation["tried"][quantisation["chosen"]]["int8_validation"]
    assert kept == finalist["accuracy"]["int8_validation"]
    assert kept == max(tried["int8_validation"] for tried in quantisation["tried"].values())
    # sums in another order than JAX's may turn an image that float all but ties
    float_validation = finalist["accuracy"]["float_validation"]
    assert quantisation["float_validation"] == pytest.approx(float_validation, abs=2.01 / 16)
    assert measured["file_bytes"] == len(tflite) == pytest.approx(predicted["file_bytes"], rel=0.02)
    assert measured["arena_bytes"] == measure_arena(tflite)["arena_bytes"] == predicted["arena_host_bytes"]
    images = np.zeros((1, *manifest["input"]["shape"][1:]), np.uint8)
    assert run_tflm(tflite, images, measured["arena_bytes"]).shape == (1, len(manifest["classes"]))
    if finalist["budget"]:
        assert set(finalist["budget"]) == {field.name for field in dataclasses.fields(Limits)}
        needs = max(measured["arena_bytes"], predicted["arena_device_bytes"])
        assert needs <= (finalist["budget"]["sram_bytes"] or needs)
        assert predicted["macs"] <= (finalist["budget"]["macs"] or predicted["macs"])


def test_quickstart_leaves_what_is_documented(smoke):
    summary = check_summary(smoke)
    assert summary["name"] == "quickstart-smoke"
    assert [f["budget"]["sram_bytes"] for f in summary["finalists"]] == [24 * 1024, 64 * 1024]
    names = ("config.json", "provenance.json", "metrics.jsonl", "search/pareto.json", "search/evaluations.csv")
    for name in (*names, "report/index.html"):
        assert (smoke / name).stat().st_size > 0, name
    for path in [p for p in smoke.rglob("*.json") if not {"supernet", "checkpoints"} & set(p.parts)]:
        assert json.loads(path.read_text())["schema_version"] == 1, path


def test_the_same_command_again_changes_nothing(smoke, capsys):
    before = files(smoke)
    assert cli.main(["run", "quickstart", "--smoke"]) == 0
    after = files(smoke)
    assert set(before) == set(after)
    changed = {name for name in before if before[name] != after[name]}
    assert all(name == ".lock" or name.startswith("report/") for name in changed)
    assert "report/examples.json" not in changed
    reports = [name for name in before if name.startswith("report/")]
    assert {name: before[name][0] for name in reports} == {name: after[name][0] for name in reports}
    shown = capsys.readouterr().out
    assert [f"{phase}: done before" in shown for phase in PHASES] == [True] * 4


def test_another_config_is_refused_and_the_run_is_left_alone(smoke, capsys):
    before = files(smoke)
    assert cli.main(["run", "quickstart", "--smoke", "--seed", "8", "--run-dir", str(smoke)]) == 2
    shown = capsys.readouterr().err
    assert "seed: was 0, is 8" in shown
    assert "Traceback" not in shown
    assert {name: text for name, (text, _) in files(smoke).items() if name != ".lock"} == {
        name: text for name, (text, _) in before.items() if name != ".lock"
    }


def test_figures_come_from_the_answers_that_are_kept(watched):
    """Those on test and on both validations, of every finalist and the baseline."""
    folder, _, _ = watched
    summary = json.loads((folder / "summary.json").read_text())
    assert len({f["accuracy"]["float_validation"] for f in summary["finalists"]}) > 1
    for finalist in summary["finalists"]:
        place, figures = folder / "export" / finalist["name"], finalist["figures"]
        kept = {kind: read_answers(place / "answers" / f"{kind}.npz") for kind in KINDS}
        assert set(figures) == set(kept)
        for kind, answers in kept.items():
            assert figures[kind]["accuracy"] == answers.right.mean()
            assert figures[kind]["images"] == len(answers.names) == np.array(figures[kind]["confusion"]).sum()
        assert figures["int8_test"]["accuracy"] == finalist["accuracy"]["int8_test"]
        assert figures["int8_validation"]["accuracy"] == finalist["accuracy"]["int8_validation"]
        in_jax = finalist["accuracy"]["float_validation"]
        assert figures["float_validation"]["accuracy"] == pytest.approx(in_jax, abs=0.07)
        assert all(name.startswith("test/") for name in kept["int8_test"].names)
        check_operating_point(folder, finalist, kept)


def check_operating_point(folder: Path, finalist: dict, kept: dict) -> None:
    """Manifest and header say the same threshold; its rates are those of the kept answers."""
    point = finalist["operating_point"]
    manifest = json.loads((folder / finalist["files"]["manifest"]).read_text())
    assert {**manifest["operating_point"], "test": point["test"]} == point
    header = (folder / finalist["files"]["header"]).read_text()
    assert f"#define DANAS_MODEL_THRESHOLD ({point['threshold_codes']})" in header
    assert (point["positive_class"], point["max_false_alarm_rate"]) == ("present", 0.4)
    assert point["validation"]["false_alarm_rate"] <= 0.4
    for where in ("validation", "test"):
        answers = kept[f"int8_{where}"]
        called = answers.logits[:, 1].astype(int) - answers.logits[:, 0] >= point["threshold_codes"]
        assert point[where]["detection_rate"] == called[answers.labels == 1].mean()
        assert point[where]["false_alarm_rate"] == called[answers.labels == 0].mean()


def test_a_baseline_is_compared_with_every_candidate(watched):
    folder, _, tested = watched
    summary = check_summary(folder)
    kinds = [f["kind"] for f in summary["finalists"]]
    assert kinds == [*["candidate"] * 4, "baseline"]
    fixed = summary["finalists"][-1]
    assert (fixed["id"], fixed["genes"], fixed["budget"], fixed["accuracy"]["search"]) == ("fixed", None, None, None)
    candidates = {f["id"] for f in summary["finalists"][:-1]}
    assert {(c["finalist"], c["baseline"]) for c in summary["comparisons"]} == {(c, "fixed") for c in candidates}
    by_id = {f["id"]: f["accuracy"] for f in summary["finalists"]}
    for c in summary["comparisons"]:
        gain = by_id[c["finalist"]]["int8_test"] - by_id["fixed"]["int8_test"]
        assert c["difference"] == pytest.approx(gain)
        assert c["interval"][0] <= c["difference"] <= c["interval"][1]
    assert {name for pair in summary["pairs"] for name in (pair["smaller"], pair["larger"])} == candidates
    for pair in summary["pairs"]:
        for split in ("validation", "test"):
            gain = by_id[pair["larger"]][f"int8_{split}"] - by_id[pair["smaller"]][f"int8_{split}"]
            assert pair[split]["difference"] == pytest.approx(gain)
    assert len({f["retrain_image_views"] for f in summary["finalists"]}) == 1  # the same recipe for all
    by_table = [f for f in summary["finalists"] if f["budget"] and f["budget"]["board"]]
    assert len(by_table) == 2
    archive = json.loads((folder / "search/pareto.json").read_text())["budgets"][1]["reranked"]
    for finalist in summary["finalists"]:
        predicted = finalist["predicted"]
        if finalist in by_table:
            assert predicted["latency_shares"]["looked_up"] == pytest.approx(7000 / predicted["latency_ms"], rel=0.01)
            assert sum(predicted["latency_shares"].values()) == pytest.approx(1)
            searched = next(c for c in archive if c["id"] == finalist["id"])["costs"]["latency_ms"]
            assert searched == pytest.approx(predicted["latency_ms"], rel=1e-9)
        else:
            assert predicted["latency_shares"] is None
            assert predicted["latency_ms"] < 7000
    assert sorted(tested) == sorted(("export", name) for name in {*candidates, "fixed"})  # the test split: once each


def test_no_phase_sees_pictures_it_must_not(watched):
    """By the scenes really drawn: training and search see train alone, test is drawn once, in the last phase."""
    _, drawn, _ = watched
    by_phase = {phase: {split for where, split, _ in drawn if where == phase} for phase in PHASES}
    assert by_phase == {"train": {"train"}, "search": {"train"}, "retrain": {"validation"}, "export": {"test"}}
    for split in synthetic.SPLITS:
        numbers = [number for _, which, number in drawn if which == split]
        assert len(numbers) == len(set(numbers)) == getattr(WITH_BASELINE.data, f"{split}_images")


def test_pictures_cross_no_phase(watched):
    """The train phase draws only its own part of train: the search slice is left for the search."""
    _, drawn, _ = watched
    slices = {phase: {number for where, _, number in drawn if where == phase} for phase in ("train", "search")}
    assert len(slices["search"]) == round(0.2 * WITH_BASELINE.data.train_images / 2) * 2
    assert not slices["train"] & slices["search"]


def one_class(folder):
    for split in ("train", "validation", "test"):
        (folder / split / "cat").mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (64, 64), (i * 9, 0, 0)).save(folder / split / "cat" / f"{i}.jpg")
    return folder


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--limits.sram-bytes", "4096"], r"kB SRAM, limit is 4 kB"),
        (["--limits.sram-bytes", "65536", "--limits.flash-bytes", "9000"], r"kB flash, limit is 8.7 kB"),
        (["--data.source", "folder", "--data.path", "nowhere"], "nowhere': no such folder"),
        (["--data.source", "folder", "--data.path", "one_class"], "only one class, 'cat'"),
        (["--space.resolutions-px", "32", "256"], "synthetic scenes have 128 px"),
        (["--export.positive-class", "person"], "export.positive_class = 'person': give one of absent, present"),
    ],
)
def test_bad_input_is_refused_before_any_training(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    one_class(tmp_path / "one_class")
    monkeypatch.setattr(supernet, "train", lambda *a: pytest.fail("training started"))
    assert cli.main(["run", "quickstart", *flags, "--run-dir", "r"]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("danas: ")
    assert "Traceback" not in shown
    assert not (tmp_path / "r" / "supernet").exists()
    assert cli.main(["run", "quickstart", "--limits.sram-bytes", "5000", "--run-dir", "r"]) == 2
    assert "needs" in capsys.readouterr().err  # the folder is not spoilt: another config may use it


def test_the_start_says_what_a_budget_counts(capsys):
    board = boards.limits_of(boards.board("stm32f746"), 20 * 1024)
    counted = dataclasses.replace(board, count_input_pipeline=True, camera_px=96)
    pipeline._feasible_bounds(Config("c", budgets=(counted, Limits(macs=9_000_000))), 2, {})
    shown = capsys.readouterr().out
    reserve = "20 kB reserved of the board's 320 kB SRAM"
    assert (
        f"budget: stm32f746, 300 kB SRAM, 1024 kB flash, input pipeline from 96 px colour counted ({reserve})" in shown
    )
    assert "budget: 9 M MACs\n" in shown


def test_a_phase_says_what_it_needs_first(place, capsys):
    assert cli.main(["retrain", "quickstart", "--smoke", "--run-dir", "early"]) == 2
    assert "retrain needs train first" in capsys.readouterr().err


def test_a_runs_least_believed_labels_are_listed(smoke, capsys):
    assert cli.main(["data", "suspects", str(smoke), "--count", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["suspects"]) == 4
    assert (smoke / "report" / "suspects.png").is_file()
