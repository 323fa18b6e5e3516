"""Weights of another network: cut as a subnet is cut, padded so that they do the same, or refused."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import SPACE, assert_same_trees, supernet_params

from danas_jax import disk, named_files
from danas_jax.config import RetrainSettings, TrainSettings
from danas_jax.errors import UserError
from danas_jax.layers import LayerBuilder
from danas_jax.space import Stage
from danas_jax.supernet import elastic
from danas_jax.supernet.network import Network, init_variables
from danas_jax.transfer import source as sources
from danas_jax.transfer.match import transferred
from danas_jax.transfer.source import Source
from danas_jax.transfer.start import Start
from danas_jax.views.image import ImageView

NAMES = ("ant", "bee", "cat")
WIDER = dataclasses.replace(
    SPACE,
    name="wider",
    view=ImageView((20,), ("rgb",)),
    stem_widths=(12,),
    stages=(
        Stage(widths=(10,), depths=(2,), expansions=(1,), kernels=(7,)),
        Stage(widths=(12,), depths=(3,), stride=2, expansions=(4,), kernels=(5, 7)),
    ),
    head_widths=(20,),
)


def layers_of(space, classes=3):
    return elastic.envelope_layers(space, tuple(space.max_genes.tolist()), classes)


def logits_of(layers, params, x):
    return np.asarray(jax.jit(partial(Network(layers).apply, train=True))({"params": params}, x))


def source_of(space=SPACE, classes=NAMES, **changes):
    params = supernet_params(space, len(classes)) | changes
    return Source(Path("it.npz"), {name: dict(arrays) for name, arrays in params.items()}, classes)


def transfer(space, source, classes=NAMES):
    layers = layers_of(space, len(classes))
    fresh, _ = init_variables(layers, 9)
    return layers, fresh, transferred(layers, fresh, source, classes)


def whats(begun):
    return {row.block: row.what for row in begun.rows}


def test_the_same_network_comes_over_as_it_is():
    source = source_of()
    _, _, begun = transfer(SPACE, source)
    assert_same_trees(begun.params, source.params)
    assert set(whats(begun).values()) == {"taken"} and begun.share == 1


def test_a_smaller_network_is_the_sources_subnet():
    small = tuple(SPACE.min_genes.tolist())
    layers = elastic.envelope_layers(SPACE, small, len(NAMES))
    source = source_of()
    begun = transferred(layers, init_variables(layers, 9)[0], source, NAMES)
    assert_same_trees(begun.params, elastic.slice_variables(layers, source.params))
    assert whats(begun) == {"stem": "cut", "s0.b0": "cut", "s1.b0": "cut", "head": "cut", "classifier": "cut"}


def test_a_larger_network_answers_as_the_source_does():
    source = source_of()
    layers, fresh, begun = transfer(WIDER, source)
    x = np.random.default_rng(0).normal(size=(8, 20, 20, 3)).astype(np.float32)
    ours = logits_of(layers, begun.params, jnp.asarray(x))
    same_input = dataclasses.replace(SPACE, view=WIDER.view)
    theirs = logits_of(layers_of(same_input), source.params, jnp.asarray(x))
    assert np.ptp(theirs) > 0.5
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert whats(begun) == {
        **dict.fromkeys(("stem", "s0.b0", "s1.b0", "s1.b1", "head", "classifier"), "padded"),
        **dict.fromkeys(("s0.b1", "s1.b2"), "fresh"),
    }
    expand = begun.params["s1.b0.expand"]["kernel"]
    new = source.params["s1.b0.expand"]["kernel"].shape[-1]
    np.testing.assert_array_equal(expand[..., new:], fresh["s1.b0.expand"]["kernel"][..., new:])
    assert not begun.came["s1.b0.expand"]["kernel"][..., new:].any()
    counts = [(row.came, row.values) for row in begun.rows if row.block == "s0.b0"]
    assert counts == [(8 * (25 + 2) + 8 * (8 + 0) + 2 * 8, 12 * (49 + 2) + 12 * 10 + 2 * 10)]


def test_classes_are_matched_by_name():
    source = source_of()
    _, fresh, begun = transfer(SPACE, source, ("bee", "dog", "ant"))
    ours, theirs = begun.params["classifier"], source.params["classifier"]
    for part in ("kernel", "bias"):
        np.testing.assert_array_equal(ours[part][..., 0], theirs[part][..., 1])
        np.testing.assert_array_equal(ours[part][..., 2], theirs[part][..., 0])
        np.testing.assert_array_equal(ours[part][..., 1], fresh["classifier"][part][..., 1])
    row = begun.rows[-1]
    assert (row.what, row.note) == ("cut and padded", "2 of 3 classes by name")
    for classes, why in (((), "its classes are not known"), (("x", "y", "z"), "no class in common")):
        _, fresh, begun = transfer(SPACE, dataclasses.replace(source, classes=classes))
        assert (begun.rows[-1].what, begun.rows[-1].note) == ("fresh", why)
        assert_same_trees(begun.params["classifier"], fresh["classifier"])


def test_one_input_channel_stands_for_several_and_several_for_one():
    source = source_of()
    for have, want in ((3, 1), (1, 3), (3, 2)):
        layers = list(layers_of(SPACE))
        layers[0] = dataclasses.replace(layers[0], in_shape=(*layers[0].in_shape[:2], want))
        given = source.params["stem"] | {"kernel": source.params["stem"]["kernel"][:, :, :have]}
        changed = dataclasses.replace(source, params=source.params | {"stem": given})
        kernel = transferred(layers, init_variables(tuple(layers), 9)[0], changed, NAMES).params["stem"]["kernel"]
        if have == want + 1:
            np.testing.assert_array_equal(kernel, given["kernel"][:, :, :2])
        else:
            np.testing.assert_allclose(kernel.sum(axis=2), given["kernel"].sum(axis=2), atol=1e-6)


def test_other_operators_and_another_last_stage_stay_fresh():
    other = dataclasses.replace(SPACE, stages=(dataclasses.replace(SPACE.stages[0], expansions=(2,)), SPACE.stages[1]))
    notes = {row.block: row.note for row in transfer(other, source_of())[2].rows}
    assert notes["s0.b0"] == "other operators" and not notes["s1.b0"]
    longer = dataclasses.replace(SPACE, stages=(*SPACE.stages, SPACE.stages[1]))
    begun = transfer(longer, source_of())[2]
    notes = {row.block: row.note for row in begun.rows}
    assert notes["s2.b1"] == "not in the source"
    assert notes["head"] == "follows another stage"
    assert notes["classifier"] == "the head is fresh"
    assert begun.params["s2.b1.project"]["scale"].all()  # its stage is fresh, so it has nothing to pass on


def written(path, params=None, **more):
    disk.write_arrays(path, {**(supernet_params() if params is None else params), **more})
    return path


def settings_of(path, section="train", **values):
    kind = TrainSettings if section == "train" else RetrainSettings
    return sources.resolved(kind(init_from=str(path), **values), section)


def a_run(folder, classes=NAMES):
    written(folder / "supernet" / "weights.npz")
    written(folder / "retrain" / "a" / "weights.npz", {"params": supernet_params(), "stats": {}})
    disk.write_json(folder / "config.json", {})
    disk.write_json(folder / ".phases" / "train.json", {"classes": list(classes)})
    return folder


def test_a_run_means_its_supernet_and_its_classes(tmp_path):
    folder = a_run(tmp_path / "it")
    settings = settings_of(folder)
    assert settings.init_from == str(folder / "supernet" / "weights.npz")
    found = sources.read(settings, "train")
    assert found.classes == NAMES
    assert_same_trees(found.params, supernet_params())
    one = sources.read(settings_of(folder / "retrain" / "a" / "weights.npz", "retrain"), "retrain")
    assert one.classes == NAMES and set(one.params) == set(found.params)
    alone = settings_of(written(tmp_path / "alone.npz"))
    assert sources.read(alone, "train").classes == ()
    assert sources.read(dataclasses.replace(alone, init_classes=NAMES), "train").classes == NAMES
    other = settings_of(a_run(tmp_path / "other", ("x", "y", "z")))
    assert len({settings.init_sha256, alone.init_sha256, other.init_sha256}) == 3
    (folder / "summary.json").unlink(missing_ok=True)
    disk.write_json(folder / ".phases" / "train.json", {})
    disk.write_json(folder / "summary.json", {"classes": ["p", "q", "r"]})
    assert sources.read(settings_of(folder), "train").classes == ("p", "q", "r")


def test_a_file_that_is_gone_keeps_its_digest_and_another_is_refused(tmp_path):
    path = written(tmp_path / "it.npz")
    settings = settings_of(path)
    written(path, supernet_params(seed=1))
    with pytest.raises(UserError, match=r"train.init_from = .*it.npz: is another file than at the start"):
        sources.read(settings, "train")
    assert sources.resolved(settings, "train").init_sha256 != settings.init_sha256
    path.unlink()
    assert sources.resolved(settings, "train") == settings
    with pytest.raises(UserError, match=r"train.init_from = .*it.npz: No such file"):
        sources.read(settings, "train")


def test_what_is_no_source_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    disk.write_json(tmp_path / "untrained" / "config.json", {})
    (tmp_path / "text.txt").write_text("")
    for name, says in (
        ("nowhere", "no such file; give a run's folder or a .npz"),
        ("empty", "holds no config.json, so it is no run"),
        ("untrained", r"has no trained supernet \(supernet/weights.npz\); finish its training"),
        ("text.txt", "give a run's folder or a .npz"),
    ):
        with pytest.raises(UserError, match=rf"retrain.init_from = .*{name}: .*{says}"):
            settings_of(tmp_path / name, "retrain")


STEM = supernet_params()["stem"]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros((2, 2), np.float32)}, "x: not the weights of a layer"),
        ({"a": {"kernel": np.zeros((3, 4), np.float32)}}, "a: not the weights of a layer"),
        ({"stem": STEM | {"kernel": np.zeros(4, np.float32)}}, r"stem: its kernel is \(4,\)"),
        ({"stem": STEM | {"kernel": np.zeros((3, 3, 0, 8), np.float32)}}, r"stem: its kernel is \(3, 3, 0, 8\)"),
        ({"stem": STEM | {"bias": np.full(8, np.nan, np.float32)}}, "stem/bias: holds what is no finite float"),
        ({"stem": STEM | {"bias": np.zeros(8, np.int32)}}, "stem/bias: holds what is no finite float"),
        ({"stem": STEM | {"scale": np.zeros(7, np.float32)}}, r"stem/scale: is \(7,\), its kernel is"),
        ({"stem": STEM | {"scale": np.array([None] * 8)}}, "holds Python objects"),
        ({}, "holds no weights of layers"),
        ({"params": np.zeros(3)}, "holds no weights of layers"),
    ],
)
def test_a_file_of_other_arrays_is_refused(tmp_path, arrays, says):
    settings = settings_of(written(tmp_path / "it.npz", arrays))
    with pytest.raises(UserError, match=rf"it\.npz.*{says}"):
        sources.read(settings, "train")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = written(tmp_path / "it.npz")
    monkeypatch.setattr(named_files, "MAX_FILE_BYTES", 1000)
    with pytest.raises(UserError, match=r"larger than the 1,000 bytes"):
        settings_of(path)


def test_the_number_of_named_classes_must_be_its_own(tmp_path):
    settings = settings_of(written(tmp_path / "it.npz"), init_classes=("a", "b"))
    with pytest.raises(UserError, match=r"train.init_classes = \('a', 'b'\): its classifier has \[3\] outputs"):
        sources.read(settings, "train")


def test_no_matching_block_is_refused_and_one_is_told(tmp_path):
    net = LayerBuilder((16, 16, 3))
    net.conv("c0.conv", 4)
    params, _ = init_variables(net.build(), 0)
    start = Start.of(settings_of(written(tmp_path / "it.npz", params)), "train", NAMES)
    with pytest.raises(UserError, match=r"train.init_from = .*: no block of it .*stem: not in the source; s0.b0"):
        start.check(layers_of(SPACE))
    start = Start.of(settings_of(a_run(tmp_path / "run"), init_rate=0.25), "train", NAMES)
    layers = layers_of(WIDER)
    begun = start.begun(layers, init_variables(layers, 9)[0], tmp_path)
    lines = start.table(begun)
    assert "6 of 8 blocks from" in lines[0] and lines[0].endswith("at 0.25 of the learning rate")
    assert lines[2].split() == ["stem", "3>8", "3x3", "3>12", "3x3", "padded", "67%"]
    assert lines[5].split() == ["s1.b0", "8>24>8", "5x5", "10>40>12", "7x7", "padded", "36%"]
    assert lines[4].split() == ["s0.b1", "-", "10>10", "7x7", "fresh", "(not", "in", "the", "source)", "0%"]
    rows = (tmp_path / "init_from.csv").read_text().splitlines()
    assert rows[0] == "block,source,target,what,note,values,came" and len(rows) == 9
    rates = begun.rates(0.25)
    assert rates["stem"]["kernel"].dtype == np.float32
    assert np.unique(rates["stem"]["kernel"][..., :8]).tolist() == [0.25]
    assert np.unique(rates["stem"]["kernel"][..., 8:]).tolist() == [1]
    assert begun.rates(1.0) is None


def test_values_at_rate_zero_stay_and_the_others_move():
    from danas_jax.supernet.guard import healthy
    from danas_jax.supernet.optimiser import initial_weights, make_optimiser, updated_weights

    params = {"a": {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}}
    rates = {"a": {"kernel": np.array([[0, 1], [0.5, 1]], np.float32), "bias": np.zeros(2, np.float32)}}
    for kind in ("adamw", "sgd"):
        settings = TrainSettings(optimiser=kind, warmup_fraction=0.0, learning_rate=0.1)
        optimiser = make_optimiser(settings, 10)
        moved = []
        for given in (None, rates):
            weights = initial_weights(optimiser, params, True, given)
            for step in range(3):
                grads = [jax.tree.map(np.ones_like, params)]
                _, weights = updated_weights(
                    optimiser, 0.9, healthy(), weights, [jnp.ones(())], grads, jnp.asarray(step)
                )
            moved.append(np.asarray(weights["params"]["a"]["kernel"]) - 1)
        assert (moved[1] == 0).tolist() == [[True, False], [False, False]]
        np.testing.assert_allclose(moved[1][:, 1], moved[0][:, 1], rtol=1e-3)
        np.testing.assert_allclose(moved[1][1, 0], 0.5 * moved[0][1, 0], rtol=0.05)
        np.testing.assert_array_equal(weights["params"]["a"]["bias"], 1)
