"""Two processes as the hosts of one run: it ends as one host's does; the end of one is the end of both. Minutes."""

import json
import signal
import time

import pytest
from hosts_toys import start

from danas_jax import run

pytestmark = pytest.mark.slow

CONFIG = """
from danas_jax.config import *
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView


def get_config():
    return Config(
        name="narrow",
        space=SearchSpace("narrow", ImageView((12,), ("rgb",)), (4,), (Stage((4, 6), stride=2),), (8,)),
        data=DataSettings(train_images=96, validation_images=16, test_images=16),
        train=TrainSettings(epochs=2, batch_size=8, batch_scale=2, calibration_images=16, checkpoint_every_s=0),
        search=SearchSettings(population=3, generations=1, rerank=2, rerank_int8=False),
        retrain=RetrainSettings(epochs=1, batch_size=16, calibration_images=16),
        export=ExportSettings(calibration_images=16, verify_images=2, calibration="minmax"),
        budgets=(Limits(sram_bytes=16 * 1024),),
    )
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "narrow.py").write_text(CONFIG)
    return tmp_path


def ended(processes, within_s=300):
    return [process.wait(within_s) for process in processes]


def losses(run_dir):
    return [record["loss"] for record in run.read_metrics(run_dir) if record["phase"] == "train"]


@pytest.mark.parametrize("resident", ["always", "never"])
def test_two_hosts_train_and_search_as_one(folder, resident):
    found = []
    for hosts in (1, 2):
        name = f"runs/{hosts}"
        arguments = ["search", "narrow.py", "--run-dir", name, "--data.resident", resident]
        for command in ("train", "search"):
            codes = ended(start(folder, [command, *arguments[1:]], hosts))
            assert codes == [0] * hosts, (folder / "out.0").read_text()
        if hosts == 2:
            assert "hosts: 2, by jax's variables" in (folder / "out.0").read_text()
            assert "search generation" not in (folder / "out.1").read_text()
        front = json.loads((folder / name / "search/pareto.json").read_text())
        found.append((losses(folder / name)[-1], [row["finalists"] for row in front["budgets"]]))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    assert [len(budget) for budget in found[0][1]] == [len(budget) for budget in found[1][1]]


@pytest.mark.parametrize("victim", [0, 1])
def test_the_end_of_one_host_is_the_end_of_both(folder, victim):
    processes = start(folder, ["train", "narrow.py", "--train.epochs", "100000"])
    until = time.monotonic() + 200
    while not (folder / "runs/narrow/metrics.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.2)
    processes[victim].send_signal(signal.SIGTERM)
    codes = ended(processes, 120)
    assert codes[victim] == 3
    assert codes[1 - victim] not in (0, None)


def test_bad_input_ends_both_with_its_code(folder):
    assert ended(start(folder, ["train", "narrow.py", "--train.batch-size", "5", "--train.batch-scale", "1"])) != [0, 0]
    assert "train.batch_size = 5: there are 2 hosts, give a multiple of 2" in (folder / "out.0").read_text()
