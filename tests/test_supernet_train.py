"""The supernet's training: the plan is a function of (seed, step), and a killed run ends where an unbroken one does."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import BOUNDS, SPACE, assert_same_trees, easy_split, noise

from danas_jax.config import TrainSettings
from danas_jax.supernet import elastic
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import subnet_evaluator
from danas_jax.supernet.network import init_variables
from danas_jax.supernet.plan import Plan, shape_envelope
from danas_jax.supernet.train import Diverged, gradient_program, train

SETTINGS = TrainSettings(epochs=2, batch_size=8, checkpoint_every_s=0, calibration_images=16)
PX, COLOUR = SPACE.index["resolution_px"], SPACE.index["colour"]
LOW = (SPACE.min_genes, np.where(np.arange(len(SPACE.axes)) == PX, 0, SPACE.max_genes))  # 16 px alone: fewer programs
SPLIT = easy_split(40)
STEPS = 10


def plan(seed=0, images=40, **changes):
    return Plan(SPACE, dataclasses.replace(SETTINGS, **changes), BOUNDS, images, seed)


def everything(plan, steps):
    return [(plan.rows(s).tolist(), plan.shape(s), np.stack(plan.sandwich(s)).tolist()) for s in steps]


def test_the_plan_is_a_function_of_seed_and_step():
    forwards, backwards = everything(plan(), range(STEPS)), everything(plan(), reversed(range(STEPS)))
    assert forwards == backwards[::-1]
    other = everything(plan(seed=1), range(STEPS))
    assert [step[0] for step in forwards] != [step[0] for step in other]
    assert [step[2] for step in forwards] != [step[2] for step in other]
    assert plan().steps == STEPS


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    epochs = [np.concatenate([plan().rows(s) for s in range(e, e + 5)]).tolist() for e in (0, 5)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
    assert epochs[0] != epochs[1]


def test_fewer_images_than_a_batch_are_repeated():
    small = plan(images=5)
    assert small.steps == 2
    assert small.rows(0).shape == (8,)
    assert set(small.rows(0)) == set(range(5))


def test_resolutions_are_stratified():
    drawn = [plan().shape(s)[0] for s in range(40)]
    assert all(set(drawn[s : s + 2]) == {0, 1} for s in range(0, 40, 2))
    assert drawn != [0, 1] * 20  # in a random order, though
    assert {Plan(SPACE, SETTINGS, LOW, 40, 0).shape(s) for s in range(9)} == {(0,)}


def test_the_sandwich_is_the_largest_the_smallest_and_random_ones():
    drawn = plan(random_subnets=3)
    seen = set()
    for step in range(30):
        largest, smallest, *random_ones = drawn.sandwich(step)
        assert len(random_ones) == 3
        assert SPACE.view.colours[largest[COLOUR]] == "rgb"
        assert SPACE.view.colours[smallest[COLOUR]] == "mono"
        assert np.delete(largest, PX).tolist() == np.delete(SPACE.max_genes, PX).tolist()
        assert not np.delete(smallest, PX).any()
        for genes in (largest, smallest, *random_ones):
            assert (genes[PX],) == drawn.shape(step)
            assert genes.tolist() == SPACE.canonical(SPACE.check(genes)).tolist()
        seen |= {tuple(genes) for genes in random_ones}
    assert len(seen) > 60
    assert {genes[COLOUR] for genes in seen} == {0, 1}


def test_the_sandwich_stays_inside_pruned_bounds():
    lower, upper = SPACE.min_genes, SPACE.max_genes
    upper[[COLOUR, SPACE.index["s1.width"]]] = 0, 1
    for step in range(20):
        rows = np.stack(Plan(SPACE, SETTINGS, (lower, upper), 40, 0).sandwich(step))
        assert (rows <= upper).all()


def run(folder, settings=SETTINGS, seed=0, checkpoints=Checkpoints, log=lambda record: None):
    saved = checkpoints(folder)
    try:
        return train(SPACE, settings, LOW, SPLIT, 2, seed, saved, log)
    finally:
        saved.close()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def killed_at(step, before):
    """Checkpoints in whose save of `step` the process dies, before anything is written or right after."""

    class Killed(Checkpoints):
        def save(self, at, state):
            if at == step and before:
                raise KeyboardInterrupt
            super().save(at, state)
            if at == step:
                raise KeyboardInterrupt

    return Killed


def test_training_again_gives_the_same_params(unbroken, tmp_path):
    assert_same_trees(run(tmp_path / "again"), unbroken)
    other = run(tmp_path / "other", seed=1)
    assert not np.array_equal(other["head"]["kernel"], unbroken["head"]["kernel"])


@pytest.mark.parametrize(("step", "before"), [(1, True), (4, False), (7, True)])
def test_a_killed_run_ends_where_an_unbroken_one_does(unbroken, tmp_path, step, before):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoints=killed_at(step, before))
    seen = []
    assert_same_trees(run(tmp_path, log=seen.append), unbroken)
    assert seen[-1]["step"] == seen[-1]["steps"] == STEPS
    assert_same_trees(run(tmp_path), unbroken)  # finished: this restores and does nothing


@pytest.mark.parametrize("damage", ["garbage", "truncated", "missing files"])
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(unbroken, tmp_path, caplog, damage):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoints=killed_at(6, False))
    assert {p.name for p in tmp_path.iterdir()} == {"5", "6"}
    for file in [p for p in (tmp_path / "6").rglob("*") if p.is_file()]:
        if damage == "missing files":
            file.unlink()
        else:
            file.write_bytes(b"\0" * 64 if damage == "garbage" else file.read_bytes()[: file.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, "danas_jax"):
        assert_same_trees(run(tmp_path), unbroken)
    assert "step 6 is damaged" in caplog.text
    assert str(tmp_path) in caplog.text
    assert_same_trees(run(tmp_path), unbroken)  # and the checkpoints written since are sound


def test_a_flipped_bit_in_a_checkpoint_is_found(tmp_path, caplog):
    """Orbax reads it back as another number and says nothing."""
    state = {"a": np.random.default_rng(0).normal(size=4096), "step": np.asarray(7)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state)
    checkpoints.save(2, state)
    checkpoints.wait()
    data = max((p for p in (tmp_path / "2").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    np.testing.assert_array_equal(checkpoints.restore(state)["a"], state["a"])
    checkpoints.close()
    assert "step 2 is damaged" in caplog.text
    assert "its checksum is another one" in caplog.text


def test_all_checkpoints_damaged_starts_again(unbroken, tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoints=killed_at(3, False))
    for file in [p for p in tmp_path.rglob("*") if p.is_file()]:
        file.write_bytes(b"")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoints=killed_at(2, False))  # before the damaged ones, yet kept
    caplog.clear()
    seen = []
    assert_same_trees(run(tmp_path, log=seen.append), unbroken)
    assert "damaged" not in caplog.text


def test_a_loss_that_is_no_number_names_step_and_subnet(tmp_path):
    with pytest.raises(Diverged, match=r"loss is (nan|inf) at step \d+ in the subnet .*'resolution_px': 16"):
        run(tmp_path, dataclasses.replace(SETTINGS, learning_rate=1e30))


def test_easy_pictures_are_learned(tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=10, learning_rate=1e-2, checkpoint_every_s=60.0)
    layers = elastic.envelope_layers(SPACE, tuple(LOW[1].tolist()), 2)
    program = gradient_program(SPACE, shape_envelope(SPACE, LOW[1], (0,)), 2)
    images, labels = jnp.asarray(SPLIT.raw[:, 4:20, 4:20]), jax.nn.one_hot(SPLIT.labels, 2)
    records = []
    params = run(tmp_path, settings, log=records.append)
    before, after = (
        float(program(p, images, labels, jnp.asarray(LOW[1], jnp.int32))[0])
        for p in (init_variables(layers, 0)[0], params)
    )
    assert after < 0.5 * before
    assert set(records[-1]) == {"step", "steps", "epoch", "loss", "accuracy", "images_per_s", "left_s", "programs"}
    evaluate = subnet_evaluator(SPACE, params, LOW, SPLIT.raw, easy_split(30, seed=1), 0.5, 2, 0)
    assert evaluate(np.stack([LOW[0], LOW[1]]), "full").min() > 0.9


def test_image_views_count_every_subnet_of_every_step():
    assert plan(images=43).image_views() == plan(images=43).steps * 8 * 3
    assert plan(images=3, random_subnets=0).image_views() == 2 * 8 * 2


def test_another_structure_is_not_restored(tmp_path, caplog):
    """A checkpoint of something else counts as damaged: never loaded in part, set aside but not deleted."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": noise(1, 4)})
    restored = checkpoints.restore({"a": np.zeros((1, 4, 4, 3), np.uint8)})
    np.testing.assert_array_equal(restored["a"], noise(1, 4))
    assert checkpoints.restore({"b": np.zeros(3)}) is None
    assert "step 1 is damaged" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["damaged.1"]
    checkpoints.save(1, {"b": np.arange(3)})
    assert checkpoints.restore({"b": np.zeros(3, int)})["b"].tolist() == [0, 1, 2]
    checkpoints.close()
