"""The flags that only `danas export` has: firmware projects, and the network on an emulated board."""

from __future__ import annotations

from dataclasses import dataclass

from danas_jax import own_flags
from danas_jax.errors import UserError

KINDS = ("arduino", "zephyr", "bare")
CPUS = ("cortex-m4", "cortex-m7")


@dataclass(frozen=True)
class FirmwareFlags:
    """What is wanted beside the export itself; () and "" where nothing is."""

    kinds: tuple[str, ...] = ()
    cpu: str = ""

    def __bool__(self) -> bool:
        return bool(self.kinds or self.cpu)


def split_flags(arguments: list[str]) -> tuple[FirmwareFlags, list[str]]:
    """(firmware flags, the other arguments) of a command line; prints their help where it is asked for.

    Raises UserError for an unknown kind or core.
    """
    parser = own_flags.parser("danas export CONFIG")
    parser.add_argument(
        "--firmware", metavar="KIND", action="append", default=[],
        help=f"write export/<id>/firmware/KIND for every finalist: {', '.join(KINDS)}; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--emulate", metavar="CPU", default="",
        help=f"run every finalist on an emulated core, against TFLM on validation: {', '.join(CPUS)}",
    )  # fmt: skip
    options, rest = own_flags.split(parser, arguments)
    for flag, values, known in (("--firmware", options.firmware, KINDS), ("--emulate", [options.emulate], ("", *CPUS))):
        for value in values:
            if value not in known:
                raise UserError(f"{flag} = {value!r}: give {' or '.join(filter(None, known))}")
    return FirmwareFlags(tuple(dict.fromkeys(options.firmware)), options.emulate), rest
