"""`danas data check`: counts, sizes, duplicates, leaks and a sheet of examples of a data set. Starts without jax."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from tyro import cli as parse
from tyro.conf import FlagCreatePairsOff, Positional, arg

from danas_jax import disk, npz
from danas_jax.config import DataSettings
from danas_jax.config_checks_data import check_data
from danas_jax.console import Progress
from danas_jax.data.check.duplicates import duplicate_groups
from danas_jax.data.check.findings import findings
from danas_jax.data.check.measure import SIDE_PX, measure
from danas_jax.data.check.sheet import example_sheet
from danas_jax.data.dataset import open_source
from danas_jax.data.sound import EXTENSIONS as SOUNDS
from danas_jax.errors import UserError

SHEET, REPORT = "examples.png", "check.json"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is in a data set, and what is wrong with it; --data.* as in a config."""

    path: Positional[Annotated[str, arg(metavar="PATH")]]  # a folder, a .csv, an .npz: what data.path would name
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    seed: int = 0  # of derived splits
    resolution_px: int = 32  # the lowest that would be searched, for the sheet of examples [px]
    out: str = "data_check"  # folder of examples.png and check.json
    json: FlagCreatePairsOff[bool] = False  # print JSON instead of text
    debug: FlagCreatePairsOff[bool] = False  # show the traceback of an error


def check_command(arguments: list[str]) -> None:
    """Run `danas data check` with these arguments; UserError on bad input, warnings are no error."""
    path = next((argument for argument in arguments if not argument.startswith("-")), "")
    named = bool(arguments) and path == arguments[0]
    if not named and not {"-h", "--help"} & set(arguments):
        raise UserError("give the PATH first: danas data check PATH [flags]")
    default = Flags(path=path, data=guessed(Path(path)))
    flags = parse(Flags, args=arguments, default=default, prog="danas data check")
    if not 1 <= flags.resolution_px <= SIDE_PX:
        raise UserError(f"--resolution-px = {flags.resolution_px}: give 1 to {SIDE_PX}")
    # Absurdly many unreadable files are a finding here, nothing to stop at.
    settings = dataclasses.replace(flags.data, path=flags.path, max_unreadable_fraction=1.0)
    check_data(settings)
    if settings.multi_label:
        raise UserError("data.multi_label = True: danas data check knows examples of one class only")
    if flags.json:
        print(json.dumps(check(settings, flags), indent=2))
        return
    with Progress("data check") as progress:
        found = check(settings, flags, progress.count)
    print("\n".join(_text(found)))


def guessed(path: Path) -> DataSettings:
    """The source and modality that a path looks like."""
    if path.suffix == ".csv":
        return DataSettings(source="csv", path=str(path))
    if path.suffix == ".npz" or (path / "train.npz").is_file():
        inside = path if path.suffix == ".npz" else path / "train.npz"
        axes, kind = _npz_input(inside)
        modality = "image" if kind == "u" else "audio" if axes == 2 else "series"
        return DataSettings(source="npz", modality=modality, path=str(path))
    if (path / "dataset_info.json").is_file():
        return DataSettings(source="tfds", path=str(path))
    names = (name for _, _, files in os.walk(path) for name in files if not name.startswith("."))
    first = next((name.lower() for name in names if name != "metadata.csv"), "")
    modality = "audio" if first.endswith(SOUNDS) else "image"
    return DataSettings(source="folder", modality=modality, path=str(path))


def _npz_input(path: Path) -> tuple[int, str]:
    """(axes, NumPy's kind of number) of the array x, of which only the header is read; (3, "i") where there is none."""
    try:
        with npz.opened(path) as file:
            shape, dtype = file.header("x")
            return len(shape), dtype.kind
    except UserError:
        return 3, "i"  # opening the source says what is wrong


def check(settings: DataSettings, flags: Flags, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Everything that is found, JSON-ready; writes the sheet and the report into `flags.out`."""
    whole = dataclasses.replace(settings, fit="stretch")  # nothing of a picture is left out, whatever a run would do
    source = open_source(whole, SIDE_PX, flags.seed)
    path = Path(settings.path).expanduser()
    measured = measure(source, path if path.is_dir() else path.parent, progress)
    found = {
        "path": settings.path,
        "source": settings.source,
        "modality": settings.modality,
        **findings(source, measured, duplicate_groups(measured), settings),
    }
    in_train = measured.split == "train"  # test is measured, not shown: whoever looks at it chooses by it
    keys = tuple(key for key, shown in zip(measured.keys, in_train, strict=True) if shown)
    folder = Path(flags.out)
    disk.write_bytes(folder / SHEET, example_sheet(source, keys, measured.labels[in_train], flags.resolution_px))
    found["sheet"] = str(folder / SHEET)
    disk.write_json(folder / REPORT, found)
    return {"schema_version": disk.SCHEMA_VERSION, **found}


def _text(found: dict[str, Any]) -> list[str]:
    names = found["class_names"]
    width = max(map(len, (*names, "class")))
    splits = list(found["counts"])
    lines = [f"{found['path']}: {found['source']}, {found['modality']}", ""]
    lines.append("  ".join(["class".ljust(width), *(split.rjust(10) for split in splits)]))
    for name in names:
        lines.append("  ".join([name.ljust(width), *(f"{found['counts'][s][name]:10,d}" for s in splits)]))
    lines.append("  ".join(["all".ljust(width), *(f"{sum(found['counts'][s].values()):10,d}" for s in splits)]))
    lines += ["", *(_size_line(name, size) for name, size in found["sizes"].items())]
    exact = sum(group["exact"] for group in found["duplicates"])
    lines.append(f"duplicates: {exact} groups of equal examples, {len(found['duplicates']) - exact} of similar ones")
    lines += [f"warning: {text}" for text in found["warnings"]] or ["nothing to warn of"]
    return [*lines, f"examples: {found['sheet']}; everything: {Path(found['sheet']).with_name(REPORT)}"]


def _size_line(name: str, size: dict[str, float]) -> str:
    what, _, unit = name.partition("_")
    return f"{what}: {size['min']:g} to {size['max']:g} {unit}".rstrip() + f", median {size['median']:g}"
