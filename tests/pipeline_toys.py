"""A whole job that takes seconds, as a config file, and a process that kills itself at a chosen file."""

import dataclasses
import subprocess
import sys
from pathlib import Path

from supernet_toys import SPACE

from danas_jax.config import (
    Baseline,
    Config,
    DataSettings,
    ExportSettings,
    Limits,
    RetrainSettings,
    SearchSettings,
    TrainSettings,
)
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageData, ImageView

TESTS = Path(__file__).resolve().parent
TOY = Config(
    name="toy",
    space=SPACE,
    data=DataSettings(train_images=64, validation_images=16, test_images=20),
    train=TrainSettings(epochs=1, batch_size=16, calibration_images=16, checkpoint_every_s=0),
    search=SearchSettings(population=4, generations=2, rerank=3, finalists_per_budget=2),
    retrain=RetrainSettings(epochs=2, batch_size=16, calibration_images=16),
    export=ExportSettings(calibration_images=16, verify_images=2, qat_epochs=1),
    budgets=(Limits(sram_bytes=5 * 1024), Limits(sram_bytes=8 * 1024, macs=100_000)),
)
BY_TABLE = Limits(sram_bytes=8 * 1024, macs=100_000, board="rp2040")
WITH_BASELINE = Config(
    **{
        **vars(TOY),
        "name": "with_baseline",
        "export": ExportSettings(calibration_images=16, verify_images=2, max_false_alarm_rate=0.4),
        "retrain": dataclasses.replace(TOY.retrain, distillation=0.1),
        "budgets": (TOY.budgets[0], BY_TABLE),
        "baselines": (Baseline("fixed", data=ImageData(16, "rgb")),),
    }
)

_SMALL = Baseline("small", "colabnas_c3", ImageData(24, "rgb"), 0.25)
WITH_REFERENCE = dataclasses.replace(TOY, baselines=(_SMALL,))

WIDE = Config(  # networks of one stage, so that little is compiled; its data come by flags
    name="wide",
    space=SearchSpace("wide", ImageView((12, 18), ("rgb",), aspect="4:3"), (4,), (Stage((4, 6), stride=2),), (8,)),
    train=TrainSettings(epochs=1, batch_size=16, calibration_images=16),
    search=SearchSettings(population=4, generations=1, rerank=2, rerank_int8=False),
    retrain=RetrainSettings(epochs=1, batch_size=16, calibration_images=16),
    export=ExportSettings(calibration_images=16, verify_images=2, calibration="minmax"),
    budgets=(Limits(sram_bytes=16 * 1024),),
)

TAUGHT = dataclasses.replace(  # its teachers come by flags
    WIDE,
    name="taught",
    space=SearchSpace("taught", ImageView((12, 16), ("rgb",)), (4,), (Stage((4, 6), stride=2),), (8,)),
    data=DataSettings(train_images=40, validation_images=8, test_images=8),
    train=dataclasses.replace(WIDE.train, mixup=0.2),
)

WIDENED = dataclasses.replace(  # begins with the weights of TAUGHT's space, which come by flags
    TAUGHT,
    name="widened",
    space=SearchSpace("widened", ImageView((16,)), (6,), (Stage((6, 8), stride=2, kernels=(3, 5)),), (8,)),
    train=dataclasses.replace(TAUGHT.train, checkpoint_every_s=0, ema_decay=0.5),
)

# Patterns of what is there when the process dies, right after it was written; in the order of the phases.
KILLS = {
    "train": "*/supernet/checkpoints/2",
    "search": "*/search/state.json",
    "retrain": "*/retrain/*/checkpoints/1",
    "fine-tuning": "*/export/*/qat/1",
    "export": "*/export/*/model.h",
    "test": "*/export/*/answers/int8_test.npz",
}

_KILLER = """
import fnmatch, os, signal, sys
from danas_jax import cli, disk
from danas_jax.supernet.checkpoint import Checkpoints

def dying(real, name):
    def wrapper(*arguments, **keywords):
        result = real(*arguments, **keywords)
        if sys.argv[1] and fnmatch.fnmatch(str(name(*arguments)), sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapper

disk.write_bytes = dying(disk.write_bytes, lambda path, data: path)
Checkpoints.save = dying(Checkpoints.save, lambda self, step, state: self.folder / str(step))
sys.exit(cli.main(sys.argv[2:]))
"""


def config_file(folder: Path, name: str = "TOY") -> str:
    """A CONFIG argument for one of the configs above."""
    path = folder / f"{name.lower()}.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nfrom pipeline_toys import {name}\n\n\n"
        f"def get_config():\n    return {name}\n"
    )
    return str(path)


def process(folder: Path, arguments: list[str], kill: str = "") -> subprocess.CompletedProcess:
    """`danas ARGUMENTS` in a process of its own, which SIGKILLs itself where `kill` says."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(TESTS.parent)!r})\n{_KILLER}", kill]
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
