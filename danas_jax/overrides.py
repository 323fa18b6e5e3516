"""Command-line flags -> Config: every field is a flag; --limits and --board set budgets; --smoke makes it tiny.

Budgets become numbers here: what a board has, and the camera's frame, are looked up once and live in config.json.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from typing import Annotated

from tyro import cli as parse
from tyro.conf import FlagCreatePairsOff, Suppress, UseAppendAction, arg

from danas_jax import config_io, own_flags
from danas_jax.config import Baseline, Board, Config, DataSettings, LatencyTable, Limits, native_resolution_px
from danas_jax.config_checks import validate
from danas_jax.data import cache
from danas_jax.errors import UserError
from danas_jax.hardware import run_tables
from danas_jax.hardware.boards import board, limits_of, own_boards, remember
from danas_jax.space import SearchSpace, Stage
from danas_jax.teachers import named
from danas_jax.transfer import source
from danas_jax.views.base import View


@dataclasses.dataclass(frozen=True)
class SpaceFlags(SearchSpace):
    """What is searched; an axis with one value is switched off. Stages are set in the config file."""

    name: str  # name of the space
    view: Annotated[View, arg(name="")]
    stem_widths: tuple[int, ...]  # channels of the first convolution, ascending
    stages: Annotated[tuple[Stage, ...], Suppress]
    head_widths: tuple[int, ...]  # channels of the last convolution, ascending
    version: int  # part of every candidate's id


@dataclasses.dataclass(frozen=True)
class LimitFlags:
    """Budgets in place of the config's: several values make one budget each, a single one goes into all.

    The input pipeline is one for all: its flags go into every budget, those of the config too.
    """

    sram_bytes: tuple[int, ...] = ()  # tensor arena [B]
    flash_bytes: tuple[int, ...] = ()  # .tflite file plus runtime code [B]
    macs: tuple[int, ...] = ()  # multiply-accumulates of one inference
    latency_ms: tuple[float, ...] = ()  # one inference on the board [ms]
    energy_mj: tuple[float, ...] = ()  # of one inference on a board whose active power is known [mJ]
    count_input_pipeline: FlagCreatePairsOff[bool] = False  # the camera's frame and its resize on the board count
    camera_px: int = 0  # height of the camera's frames, of the view's aspect; 0 = the native resolution [px]
    camera_grey: FlagCreatePairsOff[bool] = False  # the camera delivers grey for a mono network, 1 byte a pixel


@dataclasses.dataclass(frozen=True)
class Flags(Config):
    """Every field of Config, and the flags that are no field."""

    space: SpaceFlags = dataclasses.field(default_factory=lambda: SpaceFlags(**_shallow(Config("").space)))
    budgets: Annotated[tuple[Limits, ...], Suppress] = ()
    boards: Annotated[tuple[Board, ...], Suppress] = ()
    latency_tables: Annotated[tuple[LatencyTable, ...], Suppress] = ()
    baselines: Annotated[tuple[Baseline, ...], Suppress] = ()
    limits: LimitFlags = LimitFlags()
    board: UseAppendAction[tuple[str, ...]] = ()  # budget of this board's memory, in place of the config's
    reserved_sram_bytes: int | None = None  # for stack and application, in place of each --board's own reserve [B]
    lut: UseAppendAction[tuple[str, ...]] = ()  # latency table of a budget's board, in place of the config's
    smoke: FlagCreatePairsOff[bool] = False  # tiny settings: the whole job in under a minute, its results mean nothing
    debug: FlagCreatePairsOff[bool] = False  # show the traceback of an error


def config_of(arguments: list[str], command: str) -> Config:
    """The checked config of a command line `CONFIG [flags]`; a run's folder as CONFIG goes on where it is.

    UserError without a CONFIG, and for what is wrong in it; exits as `parse_flags` does.
    """
    named = bool(arguments) and not arguments[0].startswith("-")
    if not named and not own_flags.help_wanted(arguments):
        raise UserError(f"give the CONFIG first: danas {command} CONFIG [flags]")
    config = config_io.load_config(arguments[0]) if named else Config(name="CONFIG")
    if named and os.path.isdir(arguments[0]):
        config = dataclasses.replace(config, run_dir=arguments[0])
    flags = arguments[1:] if named else arguments
    config = parse_flags(config, flags, f"danas {command} {arguments[0] if named else 'CONFIG'}")
    validate(config)
    return config


def parse_flags(config: Config, arguments: list[str], program: str) -> Config:
    """`config` with the command line's flags applied; exits with 2 on flags that do not parse, 0 after --help."""
    if "--smoke" in arguments:
        config = smoke(config)  # before the other flags, which therefore win
    remember(config.boards)
    values = _shallow(config)
    values["space"] = SpaceFlags(**_shallow(config.space))
    flags = parse(Flags, args=arguments, default=Flags(**values), prog=program)
    changed = {name: getattr(flags, name) for name in values}
    changed["space"] = SearchSpace(**_shallow(flags.space))
    given = budgets(flags.limits, flags.board, flags.reserved_sram_bytes)
    changed["budgets"] = given or config.budgets
    result = Config(**changed)
    result = dataclasses.replace(
        result,
        budgets=tuple(_with_camera(b, flags.limits, native_resolution_px(result)) for b in result.budgets),
        boards=own_boards(b.board for b in result.budgets),
        # absolute, so that the run resumes from any folder
        data=_absolute_data(result.data),
        supernet_from=_absolute(result.supernet_from),
        train=source.resolved(named.resolved(result.train, "train"), "train"),
        retrain=source.resolved(named.resolved(result.retrain, "retrain"), "retrain"),
        latency_tables=_latency_tables(config, flags.lut, given),
    )
    return config_io.from_json(config_io.to_json(result))  # the same strict types as a file's


def _latency_tables(config: Config, paths: tuple[str, ...], given: tuple[Limits, ...]) -> tuple[LatencyTable, ...]:
    """The tables of the flags, else the config's: of those, budgets `given` by flags leave out other boards'."""
    entries = tuple(run_tables.named(path) for path in paths or (entry.path for entry in config.latency_tables))
    if given and not paths:
        entries = tuple(entry for entry in entries if entry.board in {limits.board for limits in given})
    run_tables.check(entries, given or config.budgets)
    return entries


def _absolute(path: str) -> str:
    return path and os.path.abspath(os.path.expanduser(path))


def _absolute_data(data: DataSettings) -> DataSettings:
    """`data` with absolute paths; of tfds a name stays a name where no such folder is there."""
    is_name = data.source == "tfds" and not os.path.isdir(os.path.expanduser(data.path))
    path = data.path if is_name else _absolute(data.path)
    cache_dir = data.cache_dir if data.cache_dir == cache.NONE else _absolute(data.cache_dir)
    places = {"data_dir": _absolute(data.data_dir), "unlabelled": _absolute(data.unlabelled)}
    return dataclasses.replace(data, path=path, cache_dir=cache_dir, **places)


def _shallow(value: typing.Any) -> dict[str, typing.Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def budgets(limits: LimitFlags, boards: tuple[str, ...], reserved_sram_bytes: int | None) -> tuple[Limits, ...]:
    """One Limits per value or board, () when none is given; UserError when the counts do not match.

    A board gives its SRAM less the reserve, and its flash; a --limits flag given beside it takes the place of that.
    """
    given = {name: values for name, values in _shallow(limits).items() if values and isinstance(values, tuple)}
    counts = {f"--limits.{name.replace('_', '-')}": len(values) for name, values in given.items()}
    if boards:
        counts["--board"] = len(boards)
    elif reserved_sram_bytes is not None:
        raise UserError(
            f"--reserved-sram-bytes = {reserved_sram_bytes}: give a --board with it; nothing is reserved of "
            "--limits.sram-bytes, which is what the network may use"
        )
    count = max(counts.values(), default=0)
    if any(n not in (1, count) for n in counts.values()):
        listed = ", ".join(f"{name} has {n}" for name, n in counts.items())
        raise UserError(f"budgets: give each flag once or {count} times: {listed}")
    result = []
    for i in range(count):
        start = limits_of(board(boards[i % len(boards)]), reserved_sram_bytes) if boards else Limits()
        result.append(dataclasses.replace(start, **{name: values[i % len(values)] for name, values in given.items()}))
    return tuple(result)


def _with_camera(limits: Limits, flags: LimitFlags, native_px: int) -> Limits:
    """`limits` with the input pipeline's flags, and the side of the frames that it counts."""
    counted = limits.count_input_pipeline or flags.count_input_pipeline
    camera_px = flags.camera_px or limits.camera_px
    return dataclasses.replace(
        limits,
        count_input_pipeline=counted,
        camera_px=camera_px or (native_px if counted else 0),
        camera_grey=limits.camera_grey or flags.camera_grey,
    )


def smoke(config: Config) -> Config:
    """`config` so small that every phase together ends within a minute; the run is called <name>-smoke."""
    replace = dataclasses.replace
    stages = tuple(
        replace(s, widths=s.widths[:2], depths=s.depths[:1], expansions=s.expansions[:2], kernels=s.kernels[:1])
        for s in config.space.stages[:3]  # most of a tiny run is compilation, and that grows with the layers
    )
    space = replace(
        config.space,
        view=config.space.view.smallest(),
        stem_widths=config.space.stem_widths[:1],
        stages=stages,
        head_widths=config.space.head_widths[:1],
    )
    per_class = 0 if config.data.multi_label else 64
    return replace(
        config,
        name=config.name if config.name.endswith("-smoke") else f"{config.name}-smoke",
        data=replace(config.data, train_images=96, validation_images=32, test_images=32, limit_per_class=per_class),
        space=space,
        train=replace(config.train, epochs=1, batch_size=16, random_subnets=1, calibration_images=16),
        search=replace(config.search, population=4, generations=1, rerank=2),
        retrain=replace(config.retrain, epochs=1, batch_size=16, calibration_images=16),
        export=replace(
            config.export, calibration_images=16, verify_images=2, qat_epochs=min(config.export.qat_epochs, 1)
        ),
        baselines=tuple(replace(b, data=space.data(space.max_genes)) for b in config.baselines),
    )
