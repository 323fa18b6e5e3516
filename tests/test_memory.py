"""What fits, and what is halved where it does not."""

import threading
import types

import jax
import numpy as np
import pytest
from supernet_toys import BOUNDS, CLASSES, SPACE, easy_split, random_genes

from danas_jax import memory
from danas_jax.config import RetrainSettings, TrainSettings
from danas_jax.deploy import retrain as retraining
from danas_jax.errors import UserError
from danas_jax.memory import AtOnce, Batches, activation_bytes, at_once, device_free_bytes, enough_for, fits
from danas_jax.supernet import evaluate
from danas_jax.supernet import train as training

EXHAUSTED = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.")


def refusing(most, seen):
    def run(items, size):
        seen.append(size)
        if size > most:
            raise EXHAUSTED
        return [int(item) * 10 for item in items]

    return run


def test_it_is_halved_until_it_fits_and_each_step_is_said_once(capsys):
    work, seen = AtOnce("evaluation", "subnets", 8, "give less"), []
    assert work.over(np.arange(7), refusing(2, seen)) == [10 * i for i in range(7)]
    assert seen == [8, 4, 2, 2, 2, 2]
    assert work.over(np.arange(3), refusing(2, seen)) == [0, 10, 20]
    assert capsys.readouterr().out.splitlines() == [
        "evaluation: out of memory with 8 subnets at a time, 4 from now on",
        "evaluation: out of memory with 4 subnets at a time, 2 from now on",
    ]


def test_several_devices_are_halved_together(capsys):
    work, seen = AtOnce("evaluation", "subnets", 4, "give less", devices=3), []
    assert work.over(np.arange(14), refusing(6, seen)) == [10 * i for i in range(14)]
    assert seen == [12, 6, 6, 6]
    assert "with 12 subnets at a time, 6 from now on" in capsys.readouterr().out


def test_threads_that_fail_together_halve_once(capsys):
    work, together = AtOnce("evaluation", "subnets", 4, "give less"), threading.Barrier(3, timeout=10)

    def run(items, size):
        if size == 4:
            together.wait()
            raise EXHAUSTED
        return list(items)

    threads = [threading.Thread(target=work.over, args=(np.arange(4), run)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work.size == 2 and len(capsys.readouterr().out.splitlines()) == 1


def test_one_that_does_not_fit_is_bad_input():
    with pytest.raises(UserError, match="does not suffice for one of the subnets; give less"):
        AtOnce("evaluation", "subnets", 2, "give less").over(np.arange(3), refusing(0, []))


def test_other_errors_pass():
    def run(items, size):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        AtOnce("evaluation", "subnets", 2, "give less").over(np.arange(3), run)
    with pytest.raises(ZeroDivisionError), enough_for("a", "b"):
        raise ZeroDivisionError


def test_the_population_is_cut_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(memory, "device_free_bytes", lambda: 1000)
    assert [at_once(8, each) for each in (50, 51, 100, 200, 201, 10**6)] == [8, 4, 4, 2, 1, 1]
    assert fits(400) and not fits(401)
    layers = [types.SimpleNamespace(in_shape=(4, 4, 3), out_shape=(2, 2, 8))] * 2
    assert activation_bytes(layers) == 2 * 4 * (48 + 32)


@pytest.mark.parametrize("free", [10**9, 100, 0])
def test_batches_that_do_not_fit_are_sent_in_equal_pieces(monkeypatch, free):
    monkeypatch.setattr(memory, "device_free_bytes", lambda: free)
    monkeypatch.setattr(memory, "PIECE_SHARE", 0.3)
    array = np.arange(7 * 2 * 5, dtype=np.uint8).reshape(7, 2, 5) + 1
    placed = []
    pieces = list(Batches(array, lambda part: placed.append(len(part)) or part))
    assert {len(piece) for piece in pieces} == {{10**9: 7, 100: 3, 0: 1}[free]}
    np.testing.assert_array_equal(np.concatenate(pieces)[:7], array)


def test_batches_that_did_not_fit_after_all_are_sent_in_pieces(capsys):
    def place(part):
        if not placed:
            placed.append(len(part))
            raise EXHAUSTED
        return part

    placed = []
    pieces = list(Batches(np.ones((3, 2)), place))
    assert sum(map(len, pieces)) == 3
    assert "images on the device, they are sent in pieces" in capsys.readouterr().out


def test_an_evaluation_goes_on_with_fewer_subnets_and_gives_the_same(monkeypatch, capsys):
    """A stand-in for the compiled program: logits that name subnet and image."""
    sizes = []

    def made(space, envelope, classes):
        def program(params, genes, calibrating, images):
            sizes.append(len(genes))
            if len(genes) > 2:
                raise EXHAUSTED
            values = np.asarray(genes).sum(1)[:, None, None] + np.asarray(images).mean((2, 3, 4))
            return np.repeat(values[..., None], classes, axis=-1), {"bn": np.asarray(genes, float)}

        return program

    def found(per_launch):
        monkeypatch.setattr(evaluate, "subnets_per_launch", lambda: per_launch)
        parts = {"full": easy_split(70, num_classes=CLASSES)}
        answers = evaluate.subnet_answers(SPACE, {}, BOUNDS, easy_split(8).raw, parts, CLASSES)
        return {answer.row: answer for answer in answers(random_genes(9), "full")}

    monkeypatch.setattr(evaluate, "_subnet_program", made)
    plain, sizes[:] = found(1), []
    halved = found(8)
    assert max(sizes) == 8 and plain.keys() == halved.keys() == set(range(9))
    monkeypatch.setattr(memory, "SHARE", 0.0)
    monkeypatch.setattr(memory, "PIECE_SHARE", 0.0)
    in_pieces = found(2)
    for row, answer in plain.items():
        assert answer.logits.shape == (70, CLASSES)
        for other in (halved[row], in_pieces[row]):
            np.testing.assert_array_equal(other.logits, answer.logits)
            np.testing.assert_array_equal(other.stats["bn"], answer.stats["bn"])
    out = capsys.readouterr().out
    assert out.count("with 8 subnets at a time, 4 from now on") == 1
    assert out.count("with 4 subnets at a time, 2 from now on") == 1


def exhausted(*arguments, **keywords):
    raise EXHAUSTED


def test_a_training_batch_that_does_not_fit_is_bad_input(monkeypatch):
    monkeypatch.setattr(training, "_train", exhausted)
    with pytest.raises(UserError, match=r"train\.batch_size = 32: .* give a smaller --train\.batch-size"):
        training.train(SPACE, TrainSettings(batch_size=32), BOUNDS, easy_split(8), 2, 0, None)
    monkeypatch.setattr(retraining, "fit", exhausted)
    layers, source = SPACE.layers(SPACE.max_genes, 2), SPACE.input(SPACE.max_genes)
    settings = RetrainSettings(batch_size=48)
    with pytest.raises(UserError, match=r"retrain\.batch_size = 48: .* give a smaller --retrain\.batch-size"):
        retraining.retrain(layers, source, {}, settings, easy_split(8), easy_split(8), 0, None)


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 2**63),
        ({"memory.max": "max", "memory.current": "5", "memory.stat": ""}, 2**63),
        ({"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 600\ninactive_file 50\n"}, 350),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "900",
                "memory/memory.stat": "cache 1\ntotal_inactive_file 20\n",
            },
            120,
        ),
    ],
    ids=["none", "unlimited", "version 2", "version 1"],
)
def test_a_containers_limit_counts(tmp_path, monkeypatch, files, free):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_machine_bytes", lambda: 2**63)
    assert memory.free_memory_bytes() == free


def test_a_devices_own_figures_count(monkeypatch):
    class Gpu:
        platform = "gpu"

        def memory_stats(self):
            return {"bytes_limit": 1000, "bytes_in_use": 300}

    monkeypatch.setattr(jax, "local_devices", lambda: [Gpu()])
    assert device_free_bytes() == 700
    monkeypatch.setattr(Gpu, "memory_stats", lambda self: None)  # some give none
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 12)
    assert device_free_bytes() == 12
