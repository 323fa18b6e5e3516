"""Processes that measure: each is asked one word a line and answers one JSON object a line, so that turns alternate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

from danas_jax.errors import UserError

_PATIENCE_S = 10.0  # for a worker to end by itself


class Worker:
    """A running worker; it computes only while it is asked. Use it as a context: it ends with the block."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self.started = time.monotonic()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    @property
    def age_s(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self.started

    def ask(self, request: str) -> dict:
        """The answer to one request. UserError when the memory ran out, RuntimeError when the worker failed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(request, file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._failure(request)
        return json.loads(line)

    def _failure(self, request: str) -> Exception:
        code = self._process.wait()
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        if code == -signal.SIGKILL or "MemoryError" in text or "RESOURCE_EXHAUSTED" in text:
            return UserError("the memory ran out while measuring: give a smaller --batch or --resolution-px")
        last = text.splitlines()[-1] if text else f"exit code {code}"
        return RuntimeError(f"the measuring process failed at {request!r}: {last}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            if error[0] is None:
                self._process.stdin.close()
                self._process.wait(_PATIENCE_S)
        except (subprocess.TimeoutExpired, OSError):
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._errors.close()


def serve(answers: Mapping[str, Callable[[], dict]]) -> None:
    """Answer requests from standard input until it ends. What libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), file=out, flush=True)
