"""`danas`: the commands, their exit codes, and nothing else. jax is imported only when a phase runs."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import importlib
import json
import os
import signal
import sys
import traceback
import types
from collections.abc import Generator
from pathlib import Path

from danas_jax import __version__
from danas_jax.errors import Interrupted, UserError

PHASES = ("train", "search", "retrain", "export", "report")
COMMANDS = {  # beside the phases and predict: module and function, which starts without jax
    "bench": ("bench.command", "bench"),
    "boards": ("hardware.boards_command", "boards_command"),
    "compare": ("evidence.compare_command", "compare_command"),
    "cost": ("report.cost_command", "cost_command"),
    "data": ("data.command", "data_command"),
    "data check": ("report.check_command", "check_command"),
    "data suspects": ("report.suspects_command", "suspects_command"),
    "doctor": ("doctor.command", "doctor"),
    "evaluate": ("report.evaluate_command", "evaluate_command"),
    "lut": ("lut.command", "main"),
    "rank": ("evidence.rank_command", "rank_command"),
    "status": ("report.status_command", "status_command"),
    "sweep collect": ("sweep.command", "collect_command"),
    "sweep list": ("sweep.command", "list_command"),
    "sweep run": ("sweep.command", "run_command"),
}
MAX_MESSAGE = 10_000  # characters
OK, BUG, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3
_PAUSE_S = 0.02  # until a signal that came at a bad moment is looked at again

HELP = """danas: from photographs to an int8 model that fits the board.

usage: danas run CONFIG [flags]          every phase below; the same command resumes
       danas train CONFIG [flags]        train the supernet once
       danas search CONFIG [flags]       find the candidates that fit each budget
       danas retrain CONFIG [flags]      retrain the finalists and the baselines
       danas export CONFIG [flags]       int8 .tflite and C header, checked on TensorFlow Lite Micro;
                                         --firmware arduino|zephyr|bare, --emulate cortex-m4|cortex-m7
       danas report CONFIG [flags]       the table and report/index.html
       danas status RUN [--watch] [--json]    where a run stands: at work or stopped, how far, what it found
       danas predict RUN_OR_TFLITE FILE_OR_FOLDER|--webcam [--json]
       danas evaluate RUN_OR_TFLITE FOLDER [--split NAME] [--json]    any int8 classifier on examples of known class
       danas lut measure|time|import|check    latency tables: measure this machine's, import yours, check them
       danas data check PATH [--json]    counts, sizes, duplicates, leaks, unreadable files, a sheet of examples
       danas data suspects RUN [--json]  the labels that the run's networks believe least
       danas cost MODEL.tflite|RUN/ID|REFERENCE [--board NAME] [--layers] [--json]    what it needs, does it fit
       danas compare CONFIG [flags] [--fixed AXIS=VALUE,...] [--seeds 0 1 2] [--full]    does choosing the data pay?
       danas rank CONFIG [flags] [--pool N] [--export FILE.csv]    does the supernet rank as training alone does?
       danas sweep list|run CONFIG [--dir DIR] [--index I] [flags]    the jobs of the config's sweep(), or one of them
       danas sweep collect DIR [--json]  what the runs of a sweep found: one table, one front
       danas data prepare NAME           download and prepare a TensorFlow Datasets set, e.g. wake_vision
       danas boards [NAME] [--json]      the boards; danas boards add FILE.toml adds your own
       danas doctor [--quick] [--json]   does it work here? a line for each check, to paste into an issue
       danas bench [supernet|evaluate|cost|search|data] [--against torch] [--json]    how fast this machine is

CONFIG: a shipped config's name ({shipped}),
        a Python file with get_config() -> Config, or the folder of a run.
Flags:  every field, e.g. --data.path DIR --run-dir runs/x --seed 3 --search.population 128;
        --limits.sram-bytes A B C and --board NAME set the budgets, --smoke makes it tiny, --debug shows tracebacks.
        `danas run CONFIG --help` lists them all.
Exit:   0 done, 2 bad input, 3 interrupted (the same command resumes), 1 a bug, or a check of danas doctor failed.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command line (default: sys.argv) and return its exit code: 0, 1, 2 or 3."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        with _signals():
            return _command(arguments)
    except UserError as error:
        return _fail(BAD_INPUT, f"danas: {error}", debug)
    except (Interrupted, KeyboardInterrupt):
        return _fail(INTERRUPTED, "danas: interrupted; the same command resumes", debug)
    except BrokenPipeError:  # `danas ... | head`: nobody reads any more, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return _fail(BAD_INPUT, f"danas: {error.filename}: such a long name cannot be a file's", debug)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(BAD_INPUT, f"danas: disk full: {error}; free some space, the same command resumes", debug)
        text = str(error).strip().splitlines()
        summary = f"{type(error).__name__}: {text[0] if text else ''}"
        return _fail(BUG, f"danas: a bug: {summary} (--debug shows the traceback)", debug)


def _fail(code: int, message: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(_plain(message), file=sys.stderr)
    from danas_jax.hosts import leave  # here, because it brings numpy, which --help does without

    leave(code)
    return code


def _plain(message: str) -> str:
    """What may go to a terminal: a message may quote files of which nobody vouches for a character or the length."""
    shown = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + " ..."
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in shown)


@contextlib.contextmanager
def _signals() -> Generator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt once; the second one ends the process at once.

    Not in the middle of an import: C++ that is being loaded (jaxlib) aborts the process at an exception. And once more
    where nobody got it: Python drops what is raised while it collects garbage (jax hooks into that) or in a `__del__`.
    """
    dropped = sys.unraisablehook

    def again() -> None:
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, _PAUSE_S)

    def stop(number: int, frame: types.FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if _importing(frame):
            return again()
        raise KeyboardInterrupt

    def nobody_got(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is KeyboardInterrupt:
            again()
        else:
            dropped(what)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: no signals arrive here
        before = {}
    else:
        sys.unraisablehook = nobody_got
    try:
        yield
    finally:
        if before:
            sys.unraisablehook = dropped
        for number, handler in before.items():
            signal.signal(number, handler)
        if before and signal.getsignal(signal.SIGALRM) is stop:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _importing(frame: types.FrameType | None) -> bool:
    """Whether an import statement is at work in the frame or in one that called it."""
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load" and "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _command(arguments: list[str]) -> int:
    command, rest = (arguments[0] if arguments else ""), arguments[1:]
    if command in ("", "-h", "--help", "help"):
        from danas_jax.config_io import shipped_configs

        print(HELP.format(shipped=", ".join(shipped_configs())), end="", file=sys.stdout if command else sys.stderr)
        return OK if command else BAD_INPUT
    if command == "--version":
        print(f"danas {__version__}")
        return OK
    if command == "predict":
        return _predict(rest)
    two_words = f"{command} {rest[0]}" if rest else ""
    for name, left in ((two_words, rest[1:]), (command, rest)):
        if name in COMMANDS:
            _quiet()
            module, function = COMMANDS[name]
            code = getattr(importlib.import_module(f"danas_jax.{module}"), function)(left)
            return code if isinstance(code, int) else OK  # some return what they printed
    commands = ("run", *PHASES)
    if command not in commands:
        near = difflib.get_close_matches(command, (*commands, "predict", *COMMANDS), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown command {command!r}: {hint}`danas --help` lists them")
    return _phases(command, PHASES if command == "run" else (command,), rest)


def _phases(command: str, phases: tuple[str, ...], arguments: list[str]) -> int:
    from danas_jax import overrides, reuse, run
    from danas_jax.hosts import join

    firmware = None
    if command == "export":
        from danas_jax.deploy.firmware.flags import split_flags

        firmware, arguments = split_flags(arguments)
    config = overrides.config_of(arguments, command)
    # Another question to a run's supernet; its train phase takes the weights along.
    elsewhere = config.supernet_from or config.run_dir != arguments[0]
    if command == "search" and not elsewhere and (again := reuse.searched_again(config, Path(arguments[0]))):
        config, phases = again, ("train", "search")
    elif command == "search" and config.supernet_from:
        phases = ("train", "search")  # which only takes it over
    _quiet()
    hosts = join()
    if not hosts.leads:
        from danas_jax import follower  # here, because it brings jax

        follower.follow(hosts)
        return OK
    with run.opened(config) as folder:
        from danas_jax import pipeline

        pipeline.run_phases(config, phases, folder, hosts)
        hosts.tell(None)
        if firmware:
            from danas_jax.deploy.firmware import command as projects

            projects.firmware(config, folder, firmware)
    return OK


def _predict(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "danas predict", description="Run an exported int8 model on pictures, sound or series."
    )
    parser.add_argument("model", metavar="RUN_OR_TFLITE", help="a run's folder (its best finalist) or a .tflite")
    parser.add_argument("images", metavar="FILE_OR_FOLDER", nargs="?", help="a picture, a wav, an .npz, or a folder")
    parser.add_argument(
        "--webcam", metavar="INDEX", type=int, nargs="?", const=0, help="a camera's frames until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table; of a camera a line a frame")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    if (options.images is None) == (options.webcam is None):
        raise UserError("danas predict: give either FILE_OR_FOLDER or --webcam")
    _quiet()
    from danas_jax.deploy import predict

    if options.webcam is not None:
        from danas_jax.deploy.webcam import predict_webcam

        with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
            for row in predict_webcam(predict.Predictor(Path(options.model)), options.webcam):
                print(json.dumps(row) if options.json else _prediction(row), flush=True)
        return OK
    rows = predict.predict_files(options.model, options.images)
    if options.json:
        print(json.dumps({"schema_version": 1, "predictions": rows}, indent=2))
    else:
        for row in rows:
            print(f"{_prediction(row)}  {row['file']}")
    return OK


def _prediction(row: dict) -> str:
    if "labels" in row:
        return ", ".join(f"{name} {row['scores'][name]:.1%}" for name in row["labels"]).ljust(27) or "(none)"
    return f"{row['label']:<20} {row['scores'][row['label']]:6.1%}"


def _quiet() -> None:
    """Keep library chatter off the terminal; must happen before jax or tflite_micro is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GLOG_minloglevel", "2")
    import logging

    logging.getLogger("absl").setLevel(logging.ERROR)
