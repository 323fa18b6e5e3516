"""`danas data prepare`: the arguments, and what is printed."""

from __future__ import annotations

import argparse

from danas_jax.console import say


def data_command(arguments: list[str]) -> None:
    """Run `danas data` with these arguments. Raises UserError on bad input."""
    parser = argparse.ArgumentParser(
        "danas data",
        description="The data of a run; docs/data.md describes them.",
        epilog="danas data check PATH says what is wrong with a data set; it takes the flags of a config; "
        "danas data suspects RUN lists the labels that a run's networks believe least.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    text = "download and prepare a set of the TensorFlow Datasets catalogue (needs tensorflow, once)"
    sub = commands.add_parser("prepare", help=text, description=text, allow_abbrev=False)
    sub.add_argument("name", metavar="NAME", help="of the catalogue, e.g. wake_vision or name/config:1.0.0")
    sub.add_argument("--data-dir", default="", help="where sets are prepared (~/tensorflow_datasets)")
    sub.add_argument("--yes", action="store_true", help="do not ask before downloading")
    sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    sub.set_defaults(action=_prepare)
    options = parser.parse_args(arguments)
    options.action(options)


def _prepare(options: argparse.Namespace) -> None:
    from danas_jax.data.prepare import prepare

    if prepare(options.name, options.data_dir, options.yes):
        where = f" --data.data-dir {options.data_dir}" if options.data_dir else ""
        say(f"train on it: danas run CONFIG --data.source tfds --data.path {options.name}{where}")
    else:
        say("nothing was downloaded")
