"""Command-line flags -> Config: every field is a flag; --limits and --board set budgets; --smoke makes it tiny."""

from __future__ import annotations

import dataclasses
import os
import typing
from typing import Annotated

from tyro import cli as parse
from tyro.conf import FlagCreatePairsOff, Suppress, UseAppendAction

from danas_jax import config_io
from danas_jax.config import Baseline, Config, Limits
from danas_jax.errors import UserError
from danas_jax.space import SearchSpace, Stage


@dataclasses.dataclass(frozen=True)
class SpaceFlags(SearchSpace):
    """What is searched; an axis with one value is switched off. Stages are set in the config file."""

    name: str  # name of the space
    resolutions_px: tuple[int, ...]  # input sizes, ascending [px]
    colours: tuple[str, ...]  # input colours: mono, rgb or both
    stem_widths: tuple[int, ...]  # channels of the first convolution, ascending
    stages: Annotated[tuple[Stage, ...], Suppress]
    head_widths: tuple[int, ...]  # channels of the last convolution, ascending
    version: int  # part of every candidate's id


@dataclasses.dataclass(frozen=True)
class LimitFlags:
    """Budgets in place of the config's: several values make one budget each, a single one goes into all."""

    sram_bytes: tuple[int, ...] = ()  # tensor arena [B]
    flash_bytes: tuple[int, ...] = ()  # .tflite file plus runtime code [B]
    macs: tuple[int, ...] = ()  # multiply-accumulates of one inference
    latency_ms: tuple[float, ...] = ()  # one inference on the board [ms]


@dataclasses.dataclass(frozen=True)
class Flags(Config):
    """Every field of Config, and the flags that are no field."""

    space: SpaceFlags = dataclasses.field(default_factory=lambda: SpaceFlags(**_shallow(Config("").space)))
    budgets: Annotated[tuple[Limits, ...], Suppress] = ()
    baselines: Annotated[tuple[Baseline, ...], Suppress] = ()
    limits: LimitFlags = LimitFlags()
    board: UseAppendAction[tuple[str, ...]] = ()  # budget of this board's memory, in place of the config's
    smoke: FlagCreatePairsOff[bool] = False  # tiny settings: the whole job in under a minute, its results mean nothing
    debug: FlagCreatePairsOff[bool] = False  # show the traceback of an error


def parse_flags(config: Config, arguments: list[str], program: str) -> Config:
    """`config` with the command line's flags applied; exits with 2 on flags that do not parse, 0 after --help."""
    if "--smoke" in arguments:
        config = smoke(config)  # before the other flags, which therefore win
    values = _shallow(config)
    values["space"] = SpaceFlags(**_shallow(config.space))
    flags = parse(Flags, args=arguments, default=Flags(**values), prog=program)
    changed = {name: getattr(flags, name) for name in values}
    changed["space"] = SearchSpace(**_shallow(flags.space))
    changed["budgets"] = budgets(flags.limits, flags.board) or config.budgets
    result = Config(**changed)
    result = dataclasses.replace(  # absolute, so that the run resumes from any folder
        result,
        data=dataclasses.replace(result.data, path=_absolute(result.data.path)),
        supernet_from=_absolute(result.supernet_from),
    )
    return config_io.from_json(config_io.to_json(result))  # the same strict types as a file's


def _absolute(path: str) -> str:
    return path and os.path.abspath(os.path.expanduser(path))


def _shallow(value: typing.Any) -> dict[str, typing.Any]:
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


def budgets(limits: LimitFlags, boards: tuple[str, ...]) -> tuple[Limits, ...]:
    """One Limits per value or board, () when none is given; UserError when the counts do not match.

    A board gives its SRAM and flash; a --limits flag given beside it takes the place of the board's figure.
    """
    given = {name: values for name, values in _shallow(limits).items() if values}
    counts = {f"--limits.{name.replace('_', '-')}": len(values) for name, values in given.items()}
    if boards:
        counts["--board"] = len(boards)
    count = max(counts.values(), default=0)
    if any(n not in (1, count) for n in counts.values()):
        listed = ", ".join(f"{name} has {n}" for name, n in counts.items())
        raise UserError(f"budgets: give each flag once or {count} times: {listed}")
    result = []
    for i in range(count):
        start = Limits()
        if boards:
            from danas_jax.hardware.boards import board, limits_of

            start = limits_of(board(boards[i % len(boards)]))
        result.append(dataclasses.replace(start, **{name: values[i % len(values)] for name, values in given.items()}))
    return tuple(result)


def smoke(config: Config) -> Config:
    """`config` so small that every phase together ends within a minute; the run is called <name>-smoke."""
    replace = dataclasses.replace
    stages = tuple(
        replace(s, widths=s.widths[:2], depths=s.depths[:1], expansions=s.expansions[:2], kernels=s.kernels[:1])
        for s in config.space.stages[:3]  # most of a tiny run is compilation, and that grows with the layers
    )
    return replace(
        config,
        name=config.name if config.name.endswith("-smoke") else f"{config.name}-smoke",
        data=replace(config.data, train_images=96, validation_images=32, test_images=32, limit_per_class=64),
        space=replace(
            config.space,
            resolutions_px=config.space.resolutions_px[:1],
            stem_widths=config.space.stem_widths[:1],
            stages=stages,
            head_widths=config.space.head_widths[:1],
        ),
        train=replace(config.train, epochs=1, batch_size=16, random_subnets=1, calibration_images=16),
        search=replace(config.search, population=4, generations=1, rerank=2),
        retrain=replace(config.retrain, epochs=1, batch_size=16, calibration_images=16),
        export=replace(config.export, calibration_images=16, verify_images=2),
        baselines=tuple(replace(b, resolution_px=min(b.resolution_px, 32)) for b in config.baselines),
    )
