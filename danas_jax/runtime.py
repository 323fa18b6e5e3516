"""Settings of the process and of JAX that every long command wants: memory kept, compiled programs kept."""

from __future__ import annotations

import ctypes
import os

import jax

CACHE = "~/.cache/danas_jax/xla"  # compiled programs, reused by every run on this machine
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # glibc's <malloc.h>


def keep_freed_memory() -> None:
    """Let glibc reuse the large buffers of each step instead of asking the kernel for fresh pages every time.

    A supernet step took 159-161 ms with it and 200-230 ms without (docs/design.md). Elsewhere: nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(option, value)


def keep_compiled_programs() -> None:
    """JAX's persistent compilation cache, so that a second start of the same programs takes no compile time."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", os.path.expanduser(CACHE))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
