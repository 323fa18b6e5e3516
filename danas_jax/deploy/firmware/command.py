"""`danas export RUN --firmware KIND --emulate CPU`: for every exported finalist of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax import disk, untrusted
from danas_jax.config import Config, Limits, native_frame
from danas_jax.config_io import load_limits
from danas_jax.console import say
from danas_jax.data.dataset import open_data
from danas_jax.deploy.examples import network_input
from danas_jax.deploy.firmware import emulator, memory
from danas_jax.deploy.firmware.c_frame import Frame
from danas_jax.deploy.firmware.emulate import EXAMPLES, emulate
from danas_jax.deploy.firmware.flags import FirmwareFlags
from danas_jax.deploy.firmware.front_end import FrontEnd
from danas_jax.deploy.firmware.front_ends import front_end_of
from danas_jax.deploy.firmware.project import project
from danas_jax.deploy.predict import MODEL_NAME, SUMMARY_NAME, load_export
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.deploy.tflite_loader import load_tflite
from danas_jax.errors import UserError
from danas_jax.hardware import boards
from danas_jax.views.resize import native_size_of


@dataclass(frozen=True)
class Exported:
    """A finalist as its files hold it, and the budgets that chose it."""

    folder: Path
    tflite: bytes
    manifest: dict
    model: QuantisedModel
    budgets: tuple[Limits, ...]

    @property
    def board(self) -> str:
        """The first budget's board, "" for none."""
        return next((limits.board for limits in self.budgets if limits.board), "")

    @property
    def front_end(self) -> FrontEnd:
        """What reads the recorded examples; of pictures a budget's camera, else colour at their native resolution."""
        source, data = network_input(self.manifest["data"]), self.manifest["data"]
        if source.view.kind != "image":
            return front_end_of(source, tuple(data["raw_shape"]))
        camera = next((limits for limits in self.budgets if limits.count_input_pipeline), None)
        if camera is None:
            return Frame(native_size_of(data))
        height, width, _ = self.model.input_shape
        size = camera.camera_px, camera.camera_px * width // height
        return Frame(size, 1 if camera.camera_grey and self.model.input_shape[2] == 1 else 3)


def exported_finalists(run_dir: Path) -> list[Exported]:
    """The candidates of a finished run, each once; UserError where there are none, or a file is damaged."""
    budgets: dict[str, list[Limits]] = {}
    where = f"{run_dir / SUMMARY_NAME}: finalists"
    try:
        for finalist in disk.read_json(run_dir / SUMMARY_NAME)["finalists"]:
            if finalist["kind"] == "candidate":
                limits = load_limits(finalist["budget"], f"{where}.budget")
                budgets.setdefault(finalist["name"], []).append(limits)
    except (KeyError, TypeError) as error:
        raise UserError(f"{where} lack {error}: finish the run first") from error
    found = []
    for name, chosen_by in budgets.items():
        folder = untrusted.inside(run_dir / "export", name, f"{where}.name")
        tflite, manifest = load_export(folder / MODEL_NAME)
        model = load_tflite(tflite, str(folder / MODEL_NAME))
        found.append(Exported(folder, tflite, manifest, model, tuple(chosen_by)))
    if not found:
        raise UserError(f"{run_dir / SUMMARY_NAME} lists no exported candidate")
    return found


def _projects(finalist: Exported, kinds: tuple[str, ...]) -> Mapping[Path, bytes]:
    """Content of every file; UserError when the camera does not suit the network or a budget's board is too small."""
    front_end, files = finalist.front_end, {}
    front_end.check(finalist.model, str(finalist.folder))
    for kind in kinds:
        target = finalist.folder / "firmware" / kind
        needed = memory.needs(kind, finalist.model, finalist.tflite, front_end)
        for limits in finalist.budgets:
            if limits.board:
                memory.check(needed, boards.board(limits.board), str(target))
        parts = project(kind, finalist.tflite, finalist.manifest, finalist.model, front_end, finalist.board)
        files |= {target / path: content for path, content in parts.items()}
    return files


def _emulate(finalists: list[Exported], config: Config, cpu: str) -> None:
    raw = open_data(config.data, native_frame(config), config.seed).load("validation", "export").raw
    chosen = np.asarray(raw[np.unique(np.linspace(0, len(raw) - 1, EXAMPLES).round().astype(int))])
    for finalist in finalists:
        found = emulate(finalist.tflite, finalist.manifest, finalist.model, chosen, cpu)
        disk.write_json(finalist.folder / f"emulated_{cpu}.json", found)
        macs = sum(layer["macs"] for layer in found["layers"])
        name, count, noun = finalist.folder.name, found["images"], finalist.front_end.noun
        say(f"{name} on an emulated {cpu}: logits equal to TFLM's on {count} validation {noun}")
        say(
            f"  RAM {found['ram_bytes']} B (arena {found['arena_bytes']}, front end {found['front_end_bytes']}), flash "
            f"{found['flash_bytes']} B; instructions: preprocessing {found['preprocess_instructions']:,}, network "
            f"{found['network_instructions']:,} ({found['network_instructions'] / macs:.1f} a MAC)"
        )
        for layer in found["layers"]:
            say(f"  {layer['instructions']:>12,}  {layer['name']}")


def firmware(config: Config, run_dir: Path, flags: FirmwareFlags) -> None:
    """Write the projects, then run the emulator. UserError, before anything is written, where a board is too small."""
    if config.data.multi_label:
        raise UserError("data.multi_label = True: the projects' main loop names one class; use model.h of the export")
    boards.remember(config.boards)
    if flags.cpu:
        emulator.require_tools()
    finalists = exported_finalists(run_dir)
    files: dict[Path, bytes] = {}
    for finalist in finalists:
        files |= _projects(finalist, flags.kinds)
    for path, content in files.items():
        disk.write_bytes(path, content)
    for finalist in finalists:
        for kind in flags.kinds:
            say(f"firmware: {finalist.folder / 'firmware' / kind}")
    if flags.cpu:
        _emulate(finalists, config, flags.cpu)
