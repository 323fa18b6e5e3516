"""What long work shows: one line that a terminal overwrites, or in a log file a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_LOG_EVERY_S = 20.0  # in a file, where nothing can be overwritten


def say(text: str) -> None:
    """One line for the reader."""
    print(text, flush=True)


def duration(seconds: float) -> str:
    """`1 h 05 min`, `3 min 20 s` or `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class Progress:
    """Progress of one piece of work; the last state stays on screen with the time it took."""

    def __init__(self, title: str):
        self.title = title
        self._terminal = sys.stdout.isatty()
        self._shown = self._started = time.monotonic()
        self._text = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        took = time.monotonic() - self._started
        if kind is None and took > 1.0:
            self._write(f"{self.title}: {self._text + ', ' if self._text else ''}took {duration(took)}", final=True)
        elif self._terminal and self._text:
            print(flush=True)

    def _write(self, line: str, final: bool = False) -> None:
        if self._terminal:
            print(f"\r\x1b[2K{line}", end="\n" if final else "", flush=True)
        else:
            print(line, flush=True)

    def _update(self, text: str, left_s: float | None) -> None:
        self._text = text
        now = time.monotonic()
        if self._terminal or now - self._shown > _LOG_EVERY_S:
            self._shown = now
            left = f", {duration(left_s)} left" if left_s else ""
            self._write(f"{self.title}: {text}{left}")

    def count(self, done: int, total: int) -> None:
        """`done` of `total` equal pieces."""
        spent = time.monotonic() - self._started
        self._update(f"{done}/{total}", spent / done * (total - done) if done and spent > 3.0 else None)

    def show(self, event: dict) -> None:
        """A training event: epoch or step, loss, accuracy, images/s, time left."""
        parts = []
        for key in ("epoch", "step"):
            if key in event:
                total = event.get(f"{key}s")
                parts.append(f"{key} {event[key]}" + (f"/{total}" if total else ""))
        for key in ("loss", "accuracy", "validation_accuracy"):
            if key in event:
                name = "batch accuracy" if key == "accuracy" else key.replace("_", " ")
                parts.append(f"{name} {event[key]:.3f}")
        if "validation_interval" in event:
            parts[-1] += " [{:.3f}, {:.3f}]".format(*event["validation_interval"])
        if "images_per_s" in event:
            parts.append(f"{event['images_per_s']:.0f} images/s")
        self._update(", ".join(parts), event.get("left_s"))

    def note(self, line: str) -> None:
        """A line that stays."""
        self._write(line, final=True)
