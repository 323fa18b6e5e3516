"""The recipe's options: progressive stages, averaged weights, distillation, the full resolution, and the watch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import BOUNDS, SPACE, assert_same_trees, easy_split, supernet_params

from danas_jax.config import TrainSettings, TrainStage, elastic_kinds
from danas_jax.supernet import train as module
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.guard import Diverged, failure, guarded, healthy
from danas_jax.supernet.optimiser import initial_weights, make_optimiser, pack, unpack, updated_weights
from danas_jax.supernet.plan import Plan, shape_envelope
from danas_jax.supernet.train import train

SETTINGS = TrainSettings(epochs=2, batch_size=8, checkpoint_every_s=0, calibration_images=16)
PX = SPACE.index["resolution_px"]
KINDS = elastic_kinds(SPACE)
SMALLEST_PX = np.where(np.arange(len(SPACE.axes)) == PX, 0, SPACE.max_genes)
LOW = (SPACE.min_genes, SMALLEST_PX)
SPLIT = easy_split(40)
STAGES = (TrainStage(0.3, ()), TrainStage(0.6, ("resolution", "kernel", "width")))


def plan(**changes):
    return Plan(SPACE, dataclasses.replace(SETTINGS, **changes), BOUNDS, 40, 0)


def run(folder, checkpoints=Checkpoints, log=lambda record: None, **changes):
    saved = checkpoints(folder)
    try:
        return train(SPACE, dataclasses.replace(SETTINGS, **changes), LOW, SPLIT, 2, 0, saved, log)
    finally:
        saved.close()


def newest(folder, params):
    """The step of the newest checkpoint and its params."""
    checkpoints = Checkpoints(folder)
    optimiser = make_optimiser(SETTINGS, 10)
    state = checkpoints.restore({**initial_weights(optimiser, params, averaged=False), "step": np.asarray(0)})
    assert state is not None
    checkpoints.close()
    return int(state["step"]), state["params"]


def kinds_off(genes):
    """The kinds of axes in which `genes` are not the largest value."""
    names = {SPACE.axes[i].name for i in np.flatnonzero(genes != SPACE.max_genes)}
    if "s1.depth" in names:
        names -= {"s1.b1.expansion", "s1.b1.kernel"}  # zero, as that block is not there
    return {name.rsplit(".")[-1].removesuffix("_px") for name in names}


def test_axes_become_elastic_stage_by_stage():
    staged = plan(stages=STAGES, epochs=20, random_subnets=3)
    assert staged.steps == 100
    for steps, allowed in (
        (range(30), set()),
        (range(30, 60), {"resolution", "kernel", "width"}),
        (range(60, 100), set(KINDS)),
    ):
        passes = [one for step in steps for one in staged.passes(step)]
        seen = set().union(*(kinds_off(one.genes) for one in passes))
        assert seen == allowed
        assert all((np.array(one.envelope) >= one.genes).all() for one in passes)
        smallest = [staged.passes(step)[1] for step in steps]
        for step, one in zip(steps, smallest, strict=True):
            lower = staged.step_bounds(step)[0]
            assert (
                one.genes.tolist()
                == SPACE.canonical(np.where(np.arange(len(lower)) == PX, one.genes[PX], lower)).tolist()
            )
            assert one.envelope == shape_envelope(SPACE, lower, (int(one.genes[PX]),))


def test_every_kind_of_axis_has_its_name():
    for kind in KINDS:
        staged = plan(stages=(TrainStage(1.0, (kind,)),), random_subnets=4)
        assert set().union(*(kinds_off(one.genes) for s in range(10) for one in staged.passes(s))) == {kind}


def test_without_stages_everything_is_elastic_from_the_start():
    assert plan().elastic(0) == KINDS
    assert all((np.array(plan().step_bounds(0)) == np.array(BOUNDS)).ravel())


def test_the_full_resolution_teaches_below_it():
    full, usual = plan(full_resolution=True), plan()
    for step in range(10):
        passes, sandwich = full.passes(step), usual.passes(step)
        if full.shape(step) == (SPACE.max_genes[PX],):
            assert str(passes) == str(sandwich)
        else:
            assert str(passes[1:]) == str(sandwich)
            assert passes[0].genes.tolist() == list(passes[0].envelope) == SPACE.max_genes.tolist()
    assert full.image_views() == usual.image_views() + 5 * 8  # two resolutions, ten steps
    assert full.image_views() == 8 * sum(len(full.passes(step)) for step in range(10))


def test_the_full_resolution_sees_the_same_crop_and_teaches(tmp_path, monkeypatch):
    """The teacher's pass gets the highest resolution and the labels, the others its answers at the step's."""
    seen = []
    real = module.gradient_program

    def watched(space, envelope, num_classes, loss, dtype):
        def program(params, views, targets, genes):
            out = real(space, envelope, num_classes, loss, dtype)(params, views, targets, genes)
            seen.append((views.shape[1], np.asarray(targets), jax.nn.softmax(out[1])))
            return out

        return program

    monkeypatch.setattr(module, "gradient_program", watched)
    settings = dataclasses.replace(SETTINGS, epochs=1, batch_size=20, full_resolution=True)
    checkpoints = Checkpoints(tmp_path)
    train(SPACE, settings, BOUNDS, SPLIT, 2, 0, checkpoints)
    checkpoints.close()
    assert sorted(px for px, *_ in seen) == [16, 16, 16, 24, 24, 24, 24]
    start = next(i for i, (px, *_) in enumerate(seen) if px == 16) - 1
    np.testing.assert_allclose(sorted(set(seen[start][1].ravel().tolist())), [0.05, 0.95], rtol=1e-6)
    for px, targets, _ in seen[start + 1 : start + 4]:
        assert px == 16
        np.testing.assert_allclose(targets, seen[start][2], rtol=1e-5)


@pytest.mark.parametrize("changes", [{"ema_decay": 0.9}, {"optimiser": "sgd", "mixup": 0.4, "cutmix": 1.0}])
def test_a_killed_run_with_options_ends_where_an_unbroken_one_does(tmp_path, changes):
    class Killed(Checkpoints):
        def save(self, at, state):
            super().save(at, state)
            if at == 6:
                raise KeyboardInterrupt

    one, two = [], []
    unbroken = run(tmp_path / "unbroken", log=one.append, **changes)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Killed, **changes)
    assert_same_trees(run(tmp_path / "killed", log=two.append, **changes), unbroken)
    assert [one[-1][key] for key in ("loss", "accuracy")] == [two[-1][key] for key in ("loss", "accuracy")]
    assert_same_trees(run(tmp_path / "killed", **changes), unbroken)


def test_the_average_is_what_comes_back(tmp_path):
    """After the first step (learning rate 0) and a second one: 8/11 of the new weights and 3/11 of the old ones."""
    few = {"epochs": 1, "batch_size": 20}
    start, _ = module.init_variables(module.elastic.envelope_layers(SPACE, tuple(SMALLEST_PX.tolist()), 2), 0)
    plain, averaged = run(tmp_path / "plain", **few), run(tmp_path / "averaged", ema_decay=0.999, **few)
    for old, new, mean in zip(*map(jax.tree.leaves, (start, plain, averaged)), strict=True):
        np.testing.assert_allclose(mean, (2 * old + 9 * new) / 11, atol=1e-6)


def test_label_weight_one_is_training_on_labels(tmp_path):
    """Both kinds of distillation then run the same loss."""
    few = {"epochs": 1, "label_weight": 1.0}
    soft, alpha = run(tmp_path / "soft", **few), run(tmp_path / "alpha", distillation="alpha", **few)
    for a, b in zip(jax.tree.leaves(soft), jax.tree.leaves(alpha), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    default = run(tmp_path / "default", epochs=1)
    assert not np.allclose(default["head"]["kernel"], soft["head"]["kernel"], atol=1e-4)
    distilled = run(tmp_path / "distilled", epochs=1, distillation="alpha")
    assert not np.allclose(default["head"]["kernel"], distilled["head"]["kernel"], atol=1e-4)


def broken(monkeypatch, step, index, what):
    """From `step` on, the pass `index` returns NaN in its loss or in one gradient."""
    real, calls = module.gradient_program, [0]

    def program_of(*arguments):
        def program(*inputs):
            loss, logits, grads = real(*arguments)(*inputs)
            at, which = divmod(calls[0], 3)
            calls[0] += 1
            if at >= step and which == index:
                if what == "loss":
                    loss = loss * jnp.nan
                else:
                    grads = {**grads, "head": {**grads["head"], "scale": grads["head"]["scale"].at[0].set(jnp.inf)}}
            return loss, logits, grads

        return program

    monkeypatch.setattr(module, "gradient_program", program_of)


@pytest.mark.parametrize(("index", "what"), [(1, "loss"), (2, "gradient")])
def test_the_first_failure_is_named_however_late_it_is_looked_for(tmp_path, monkeypatch, index, what):
    """Nothing is logged or saved until the last step: the message still names step 4 and its subnet."""
    broken(monkeypatch, 4, index, what)
    monkeypatch.setattr(module, "_LOG_EVERY_S", 1e9)
    with pytest.raises(Diverged) as caught:
        run(tmp_path, checkpoint_every_s=1e9)
    genes = Plan(SPACE, SETTINGS, LOW, 40, 0).sandwich(4)[index]
    said = {"loss": "loss is nan", "gradient": "gradient is no number"}[what]
    assert f"the supernet's {said} at step 4 in the subnet {SPACE.describe(genes)}" in str(caught.value)
    assert not [p for p in tmp_path.iterdir() if p.name.isdigit()]


def test_no_checkpoint_follows_a_failure(tmp_path, monkeypatch):
    unbroken = run(tmp_path / "unbroken")
    broken(monkeypatch, 6, 0, "gradient")
    with pytest.raises(Diverged, match="at step 6 in"):
        run(tmp_path / "broken")
    step, params = newest(tmp_path / "broken", unbroken)
    assert step == 6  # steps 0 to 5 are done
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("losses", "grads", "new", "expected"),
    [
        ([1.0, 2.0], [0.0, 0.0], 5.0, None),
        ([1.0, np.nan], [0.0, np.nan], 5.0, (7, 1, "loss is nan")),
        ([1.0, 2.0], [0.0, np.inf], 5.0, (7, 1, "gradient is no number")),
        ([np.inf, np.nan], [0.0, 0.0], 5.0, (7, 0, "loss is inf")),
        ([1.0, 2.0], [0.0, 0.0], np.inf, (7, 0, "update overflows")),
    ],
)
def test_the_watch_keeps_the_weights_of_before(losses, grads, new, expected):
    weights, after = {"w": jnp.ones(2), "count": jnp.asarray(3)}, {"w": jnp.array([1.0, new]), "count": jnp.asarray(4)}
    inputs = [jnp.asarray(loss) for loss in losses], [{"w": jnp.array([1.0, grad])} for grad in grads]
    health, kept = jax.jit(guarded)(healthy(), 7, *inputs, weights, after)
    assert failure(health) == expected
    assert_same_trees(kept, after if expected is None else weights)
    # A sound step after a failure changes nothing any more, and the first failure stays the one that is named.
    sound = [jnp.asarray(1.0)] * 2, [{"w": jnp.ones(2)}] * 2
    health, kept = jax.jit(guarded)(health, 8, *sound, weights, {"w": jnp.zeros(2), "count": jnp.asarray(4)})
    assert failure(health) == expected
    assert bool((kept["w"] == 0).all()) == (expected is None)


def test_the_same_seed_gives_the_same_figures(tmp_path):
    runs = []
    for folder in ("one", "two"):
        records = []
        run(tmp_path / folder, log=records.append, epochs=1)
        runs.append([(r["step"], r["loss"], r["accuracy"]) for r in records if r["step"] == r["steps"]])
    assert runs[0] == runs[1] != []


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_weight_decay_leaves_batch_norm_and_biases_alone(kind):
    params = {"a": {"kernel": jnp.ones(3), "scale": jnp.ones(3), "bias": jnp.ones(3)}}
    settings = dataclasses.replace(SETTINGS, optimiser=kind, weight_decay=0.5, learning_rate=0.1, warmup_fraction=0.0)
    optimiser = make_optimiser(settings, 10)
    weights, zeros = initial_weights(optimiser, params, averaged=False), jax.tree.map(jnp.zeros_like, params)
    for step in range(2):  # the first one's learning rate is 0
        _, weights = updated_weights(
            optimiser, 0.0, healthy(), weights, [jnp.zeros(())], [zeros], jnp.asarray(step, jnp.int32)
        )
    after = weights["params"]["a"]
    assert (np.asarray(after["kernel"]) < 0.99).all()
    assert (np.asarray(after["scale"]) == 1).all()
    assert (np.asarray(after["bias"]) == 1).all()


def test_packed_params_are_all_params_in_two_vectors():
    params = supernet_params()
    packed = pack(params)
    kernels = sum(part["kernel"].size for part in params.values())
    assert packed["kernel"].shape == (kernels,)
    assert packed["other"].shape == (sum(leaf.size for leaf in jax.tree.leaves(params)) - kernels,)
    assert_same_trees(unpack(packed, params), params)


@pytest.mark.parametrize(("kind", "width"), [("adamw", 37), ("sgd", 41)])  # shapes that no other test has
def test_an_optimiser_starts_as_optax_says_and_compiles_nothing(kind, width):
    """Eager JAX would compile programs for the shapes of each network that is trained, and keep them."""
    layer = {"kernel": np.ones((3, width), np.float32), "bias": np.ones(width, np.float32)}
    optimiser = make_optimiser(dataclasses.replace(SETTINGS, optimiser=kind), 10)
    programs = jax.devices()[0].client.live_executables
    before = len(programs())
    weights = initial_weights(optimiser, {"a": layer}, averaged=True, rates={"a": layer})
    assert len(programs()) == before
    packed = pack({"a": layer})
    assert len(programs()) > before
    for found, right in ((weights["optimiser"], optimiser.init(packed)), (weights["rates"], packed)):
        assert_same_trees(found, right)
        assert [leaf.dtype for leaf in jax.tree.leaves(found)] == [leaf.dtype for leaf in jax.tree.leaves(right)]


def test_sgd_is_nesterov_momentum_on_clipped_gradients():
    """Two steps against the definition: m = 0.9 m + g, the step is -(g + 0.9 m) times the learning rate."""
    settings = dataclasses.replace(
        SETTINGS, optimiser="sgd", weight_decay=0.0, learning_rate=0.1, gradient_clip=2.0, warmup_fraction=0.1
    )
    optimiser = make_optimiser(settings, 1000)
    params = pack({"a": {"kernel": jnp.zeros(2), "bias": jnp.zeros(1)}})
    state, m = optimiser.init(params), np.zeros(2)
    for step, g in enumerate(([0.6, 0.8], [6.0, 8.0], [0.0, 1.0])):
        updates, state = optimiser.update({"kernel": jnp.array(g), "other": jnp.zeros(1)}, state, params)
        g = np.array(g) * min(1.0, 2.0 / np.linalg.norm(g))
        m = 0.9 * m + g
        np.testing.assert_allclose(updates["kernel"], -0.1 * step / 100 * (g + 0.9 * m), rtol=1e-5)
