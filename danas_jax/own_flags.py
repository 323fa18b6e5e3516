"""The flags that only one command has, split off before the rest of the line becomes a Config (overrides.py)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def parser(program: str, description: str | None = None) -> argparse.ArgumentParser:
    """One to be given those flags."""
    return argparse.ArgumentParser(program, description=description, add_help=False, allow_abbrev=False)


def split(own: argparse.ArgumentParser, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """(what `own` knows, the other arguments) of a command line.

    Prints their help where it is asked for, and goes on: the Config's flags follow, and end the process.
    """
    if help_wanted(arguments):
        print(own.format_help())
    return own.parse_known_args(arguments)


def help_wanted(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return any(a in ("-h", "--help") for a in arguments)
