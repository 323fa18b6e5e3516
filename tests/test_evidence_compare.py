"""danas compare: which rows there are, what they say together by hand, and a whole tiny comparison that resumes."""

import csv
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pipeline_toys import TOY, config_file

from danas_jax import cli, config_io, pipeline
from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.evidence import compare, rows, summary
from danas_jax.evidence.compare_command import ROWS, figures
from danas_jax.hardware import lut
from danas_jax.metrics import bootstrap_interval
from danas_jax.views.image import ImageView

PLANNER = rows.Planner(TOY, images=64, num_classes=2, tables=lut.NO_TABLES)
VIEW = TOY.space.view


def test_a_fixed_configuration_in_words():
    assert rows.data_from_text(VIEW, "resolution_px=16").text == "16 px rgb"
    assert rows.data_from_text(VIEW, "resolution_px=16,colour=mono").text == "16 px mono"
    with pytest.raises(UserError, match="--fixed size=3: no axis 'size', give resolution_px, colour"):
        rows.data_from_text(VIEW, "size=3")
    with pytest.raises(UserError, match="--fixed resolution_px=big"):
        rows.data_from_text(VIEW, "resolution_px=big")


def test_the_usual_ones_are_no_larger_than_the_pictures():
    view = ImageView((48, 112), ("mono", "rgb"))
    found = [data.text for data in rows.usual_fixed(view, 100)]
    assert found == ["48 px rgb", "48 px mono", "64 px rgb", "64 px mono", "96 px rgb", "96 px mono"]


def test_the_usual_ones_of_a_wide_camera():
    """Heights whose widths are whole, as high as the pictures at most and no wider than a view may be."""
    found = [data.text for data in rows.usual_fixed(ImageView((48, 63), ("rgb",), aspect="4:3"), 63)]
    assert found == ["64x48 px rgb", "64x48 px mono", "84x63 px rgb", "84x63 px mono"]
    assert {data.size for data in rows.usual_fixed(ImageView((48,), aspect="16:1"), 160)} == {(48, 768), (64, 1024)}
    with pytest.raises(UserError, match=r"--fixed resolution_px=64: .* give a multiple of 3, 63 or 66"):
        rows.data_from_text(ImageView((48,), aspect="4:3"), "resolution_px=64")


def test_a_fixed_row_gets_as_many_training_macs_as_the_joint_one():
    long = dataclasses.replace(
        PLANNER, config=dataclasses.replace(TOY, train=dataclasses.replace(TOY.train, epochs=40))
    )
    joint = long._macs(TOY.space, TOY.budgets)
    cheap, dear = (long.fixed(rows.data_from_text(VIEW, f"resolution_px={size}")) for size in (16, 24))
    assert cheap.config.train.epochs > 40 > dear.config.train.epochs
    for row in (cheap, dear):
        per_epoch = long._macs(row.config.space, row.config.budgets) / 40
        assert per_epoch * row.config.train.epochs == pytest.approx(joint, rel=0.05)
        assert row.config.space.view.axes[0].values == (row.config.space.view.resolutions_px[0],)


def test_a_budget_that_nothing_fits_is_left_out_with_its_need():
    tight = dataclasses.replace(TOY, budgets=(Limits(sram_bytes=1024), *TOY.budgets))
    row = dataclasses.replace(PLANNER, config=tight).fixed(rows.data_from_text(VIEW, "resolution_px=16,colour=mono"))
    assert row.config.budgets == TOY.budgets
    ((limits, need),) = row.left_out
    assert limits.sram_bytes == 1024
    assert "limit is 1 kB" in need


def test_the_search_without_a_supernet_costs_what_the_supernet_costs():
    settings = PLANNER.no_supernet().config.search
    assert settings.accuracy_from == "training"
    genes = TOY.space.sample(np.random.default_rng(0), 500)
    one = rows.cost.space_costs(TOY.space, genes, 2)["macs"].mean() * 64 * settings.training_epochs
    macs = PLANNER._macs(TOY.space, TOY.budgets)
    assert settings.population * (settings.generations + 1) >= max(8, 0.5 * macs / one)


def test_the_references_are_those_that_fit_and_that_the_pictures_hold():
    wide = dataclasses.replace(TOY.space, view=ImageView((16, 96), ("mono", "rgb")))
    config = dataclasses.replace(TOY, space=wide, budgets=(Limits(sram_bytes=60_000), Limits(sram_bytes=40_000)))
    names = [baseline.name for baseline in rows.fitting_references(config, 2)]
    assert names == ["colabnas_k2_c3_50_rgb", "colabnas_k4_c5_50_rgb", "colabnas_k8_c5_50_rgb"]
    mine = dataclasses.replace(config, baselines=rows.references(wide.view)[1:2])
    assert [baseline.name for baseline in rows.fitting_references(mine, 2)] == [names[0], names[2]]
    small = dataclasses.replace(config, space=TOY.space)
    assert rows.fitting_references(small, 2) == ()


def test_a_row_that_was_kept_before_aspects_is_of_squares():
    figures = rows.cost.cost(TOY.space.layers(TOY.space.max_genes, 2))
    before = rows.as_arrays({key: value for key, value in figures.items() if key != "input_width_px"})
    needed = int(figures["arena_host_bytes"]) + 3 * (48 * 48 + 4 * 24)  # the frame, a row of the resize
    for missing in (0, 1):
        camera = Limits(sram_bytes=needed - missing, count_input_pipeline=True, camera_px=48)
        assert rows.cost.fits(before, camera)[0] == (missing == 0)


def network(name, right, budget=TOY.budgets[0], kind="candidate", validation=0.5):
    right = np.array(right, bool)
    return {
        "name": name,
        "kind": kind,
        "budget": dataclasses.asdict(budget) if kind == "candidate" else None,
        "sees": "16 px mono",
        "predicted": {"arena_device_bytes": 4000, "arena_host_bytes": 4000, "macs": 50_000, "flash_bytes": 9000},
        "measured": {"arena_bytes": 3900},
        "accuracy": {"int8_test": float(right.mean()), "int8_validation": validation},
        "images": len(right),
        "right": compare.packed(right),
    }


def row(name, seed, networks, share=1.0, left_out=()):
    times = {"train": 60.0, "search": 30.0, "retrain": 60.0}
    left = [{"budget": dataclasses.asdict(limits), "needs": need} for limits, need in left_out]
    return {"row": name, "seed": seed, "share": share, "networks": networks, "left_out": left, "times_s": times}


def test_what_was_right_survives_packing():
    right = np.random.default_rng(0).random(21) > 0.5
    np.testing.assert_array_equal(compare.unpacked(compare.packed(right), 21), right)
    with pytest.raises(UserError, match="24 answers, 25"):
        compare.unpacked(compare.packed(right), 25)


def test_the_rows_together_by_hand():
    four = [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]
    results = [
        row("data-aware", 0, [network("a", four[0]), network("m", four[1], kind="baseline")]),
        row("data-aware", 1, [network("b", four[1])]),
        row("96 px rgb", 0, [network("c", four[2], validation=0.6)], left_out=[(TOY.budgets[1], "needs more")]),
        row("48 px mono", 0, [network("d", four[3], validation=0.7)]),
        row("data-aware", 0, [network("e", four[3])], share=0.5),
        row("random", 0, [network("f", four[0])]) | {"times_s": {"train": 0.1, "search": 15.0, "retrain": 1.0}},
    ]
    found = summary.summary(results, TOY.budgets, seed=0)
    first = {cell["row"]: cell for cell in found["cells"] if cell["budget"] == 0}
    assert first["data-aware"]["int8_test"] == (0.75 + 0.5) / 2
    assert first["data-aware"]["int8_test_of_seeds"] == [0.75, 0.5]
    assert first["96 px rgb"]["joint_minus_this"]["difference"] == pytest.approx(0.625 - 0.25)
    assert [name for name, cell in first.items() if cell["is_best_fixed"]] == ["48 px mono"]
    # a reference stands at each budget that it fits: both
    assert {cell["budget"] for cell in found["cells"] if cell["row"] == "m"} == {0, 1}
    assert found["nothing_fits"] == [{"row": "96 px rgb", "budget": 1, "needs": "needs more"}]
    assert found["averages"]["96 px rgb"] == {
        "budgets": [0],
        "difference": pytest.approx(0.375),
        "interval": first["96 px rgb"]["joint_minus_this"]["interval"],
    }
    (random,) = (entry for entry in found["times"] if entry["row"] == "random")
    assert random["search_minutes"] == 1.25  # with the supernet that it took over
    half = [entry for entry in found["times"] if entry["share"] == 0.5]
    assert [(entry["row"], entry["search_minutes"], entry["int8_test"]) for entry in half] == [
        ("data-aware", 1.5, 0.25)
    ]


def test_validation_has_an_interval_where_its_answers_are_kept():
    def kept(name, right, images=4):
        return {**network(name, [1, 0]), "validation_images": images, "validation_right": compare.packed(right)}

    def cell(*networks):
        rows = [row("data-aware", seed, [each]) for seed, each in enumerate(networks)]
        return summary.summary(rows, TOY.budgets, seed=0)["cells"][0]

    shares = np.mean([[1, 1, 0, 0], [1, 0, 0, 0]], axis=0)
    both = cell(kept("a", [1, 1, 0, 0]), kept("b", [1, 0, 0, 0]))
    assert both["int8_validation_interval"] == list(bootstrap_interval(shares, 0))
    assert cell(kept("a", [1, 1, 0, 0]), network("b", [1, 0]))["int8_validation_interval"] is None  # an older row
    assert cell(kept("a", [1, 1, 0, 0]), kept("b", [1, 0, 0], 3))["int8_validation_interval"] is None


def test_the_best_fixed_one_is_the_joint_searchs_per_budget():
    common = [rows.data_from_text(VIEW, f"resolution_px={size}") for size in (16, 24)]
    found = [
        {"budget": dataclasses.asdict(TOY.budgets[0]), "accuracy": {"16 px rgb": 0.7, "24 px rgb": 0.6, "x": 0.9}},
        {"budget": dataclasses.asdict(TOY.budgets[1]), "accuracy": {"16 px rgb": 0.7, "24 px rgb": 0.8}},
    ]
    joint = {"accuracy_by_data": found}
    assert [data.text for data in compare.best_by_search(joint, common)] == ["16 px rgb", "24 px rgb"]
    assert [data.text for data in compare.best_by_search(joint, common, TOY.budgets[1:])] == ["24 px rgb"]


def test_danas_compare_goes_on_where_it_was_stopped_and_keeps_what_is_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", config_file(tmp_path, "WITH_REFERENCE"), "--seeds", "0", "--rows", "fixed", "no-supernet"]
    arguments += ["--fixed", "resolution_px=24,colour=rgb", "--search.population", "2", "--search.generations", "1"]
    arguments += ["--export.qat-epochs", "0"]
    real = pipeline.run_phases

    def stopping(config, phases, folder):
        if config.space.view != VIEW:
            raise KeyboardInterrupt
        real(config, phases, folder)

    monkeypatch.setattr(pipeline, "run_phases", stopping)
    assert cli.main(arguments) == 3
    kept = tmp_path / "runs/toy-compare/rows/data_aware_1_seed_0.json"
    before = kept.read_bytes()
    monkeypatch.setattr(pipeline, "run_phases", real)
    assert cli.main(arguments) == 0
    assert kept.read_bytes() == before
    printed = capsys.readouterr().out
    assert "data-aware minus 24 px rgb, mean over" in printed
    result = json.loads((tmp_path / "runs/toy-compare/compare.json").read_text())
    assert {cell["row"] for cell in result["cells"]} == {"data-aware", "24 px rgb", "no supernet", "small"}
    reads = list(csv.DictReader((tmp_path / "runs/toy-compare/test_reads.csv").read_text().splitlines()))
    rows_run = {"data_aware_1_seed_0", "24_px_rgb_1_seed_0", "no_supernet_1_seed_0", "references_1_seed_0"}
    assert {read["row"] for read in reads} == rows_run
    assert not (tmp_path / "runs/toy-compare/runs/references_1_seed_0/supernet").exists()
    assert len({(read["row"], read["network"]) for read in reads}) == len(reads)
    assert set(figures(result)) == {"accuracy_over_budget.svg", "accuracy_over_time.svg"}
    monkeypatch.setattr(pipeline, "run_phases", lambda *given: pytest.fail("nothing is left to run"))
    assert cli.main([*arguments, "--json"]) == 0
    saved = json.loads(kept.read_text())
    test = next(network for network in saved["networks"] if network["kind"] == "candidate")
    assert compare.unpacked(test["right"], test["images"]).mean() == test["accuracy"]["int8_test"]
    assert saved["config"]["run_dir"] == ""
    assert cli.main([*arguments, "--retrain.epochs", "5"]) == 2
    printed = capsys.readouterr().err
    assert "data_aware_1_seed_0.json: made with other settings:\n  retrain.epochs: was 2, is 5" in printed
    assert "another --out, or remove the file" in printed
    kept.write_text(json.dumps({**saved, "networks": []}))
    assert cli.main(arguments) == 2
    assert "data_aware_1_seed_0.json is damaged" in (printed := capsys.readouterr().err)
    assert "none is a candidate, of a row that searches for 2 budgets" in printed


def test_a_row_that_cannot_be_ends_it_before_the_first(tmp_path, monkeypatch, capsys):
    """A supernet says what pictures without labels show; neither references nor a search without one have that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "run_phases", lambda *given: pytest.fail("nothing may run"))
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(tmp_path / "it.png")
    pile = ["--data.unlabelled", str(tmp_path), "--train.mixup", "0", "--retrain.mixup", "0"]
    for row, arguments in (
        ("references", [config_file(tmp_path, "WITH_REFERENCE"), "--rows", "fixed"]),
        ("no supernet", [config_file(tmp_path), "--rows", "no-supernet"]),
    ):
        assert cli.main(["compare", *arguments, "--seeds", "0", *pile]) == 2
        assert f"the row {row} cannot be: data.unlabelled = " in (printed := capsys.readouterr().err), printed


def test_rows_without_a_supernet_leave_out_what_only_it_takes():
    taught = dataclasses.replace(TOY.train, teacher="t.onnx", init_from="a.npz")
    begun = dataclasses.replace(TOY.retrain, init_from="a.npz")
    planner = dataclasses.replace(PLANNER, config=dataclasses.replace(TOY, train=taught, retrain=begun))
    for row in (planner.references(), planner.no_supernet()):
        assert (row.config.train.teacher, row.config.train.init_from) == ("", "")
    assert planner.references().config.retrain.init_from == ""
    assert planner.joint().config.train.teacher == "t.onnx"


def test_references_are_those_of_any_space_with_the_same_recipe_and_pictures():
    """So they are not trained again for a comparison over another space."""

    def made(field, **values):
        config = dataclasses.replace(TOY, **{field: dataclasses.replace(getattr(TOY, field), **values)})
        return dataclasses.replace(PLANNER, config=dataclasses.replace(config, name="other"))

    given, other = (compare.settings(planner.references().config) for planner in (PLANNER, made("space", name="x")))
    assert given == other == compare.settings(given) == config_io.from_json(config_io.to_json(given))
    assert given != compare.settings(made("retrain", learning_rate=0.5).references().config)
    assert given != compare.settings(made("data", detail_px=3).references().config)
    joint, another = (compare.settings(planner.joint().config) for planner in (PLANNER, made("space", name="x")))
    assert joint != another


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shares", "1.5"], "give shares between 0 and 1"),
        (["--seeds", "1", "1"], "give different ones"),
        (["--fixed", "size=3"], "no axis 'size'"),
    ],
)
def test_wrong_flags(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", config_file(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err


def test_every_row_has_a_name_in_the_help(capsys, tmp_path):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ROWS)


def test_the_commands_start_without_jax():
    names = "danas_jax.evidence.compare_command, danas_jax.evidence.rank_command"
    code = f"import sys, {names}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
