"""What a firmware needs of a board, and whether the board has it."""

from __future__ import annotations

from danas_jax.config import Board
from danas_jax.deploy.firmware.c_layers import constant_bytes, plan_arena
from danas_jax.deploy.firmware.front_end import FrontEnd
from danas_jax.deploy.firmware.project import tflm_arena_bytes
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.errors import UserError
from danas_jax.hardware.flash import RUNTIME_BYTES

STACK_BYTES = 4096  # as sources/bare.mk reserves
# Allowances for a bare project, checked by tests/test_firmware_arm.py: code beside the constants takes, of pictures,
# sound and series, 5.8, 7.5 and 5.6 kB on a Cortex-M4 and 7.1, 8.9 and 6.8 kB on a Cortex-M0+ (the front end's
# code_bytes included), variables beside the buffers take 66 B at most (gcc 12.2).
BARE_CODE_BYTES = 6_000
VARIABLES_BYTES = 128


def needs(kind: str, model: QuantisedModel, tflite: bytes, front_end: FrontEnd) -> dict[str, dict[str, int]]:
    """{"sram": {part: bytes}, "flash": {part: bytes}} of a project; what an operating system takes is not counted."""
    bare = kind == "bare"
    return {
        "sram": {
            "arena": plan_arena(model).bytes if bare else tflm_arena_bytes(model),
            **front_end.ram(model),
            "variables": VARIABLES_BYTES,
            "stack": STACK_BYTES,
        },
        "flash": {
            "network": constant_bytes(model) if bare else len(tflite),
            "code": BARE_CODE_BYTES + front_end.code_bytes if bare else RUNTIME_BYTES,
            **({"tables": front_end.constant_bytes} if front_end.constant_bytes else {}),
        },
    }


def check(needed: dict[str, dict[str, int]], board: Board, where: str) -> None:
    """UserError naming `where`, every part and the board when it has less SRAM or flash than is needed."""
    has = {"sram": board.sram_bytes, "flash": board.flash_bytes}
    problems = [
        f"needs {sum(parts.values())} bytes of {name} ({', '.join(f'{part} {size}' for part, size in parts.items())}), "
        f"{board.name} has {has[name]}"
        for name, parts in needed.items()
        if sum(parts.values()) > has[name]
    ]
    if problems:
        raise UserError(
            f"{where}: {'; '.join(problems)}: search for a smaller budget (--limits.count-input-pipeline leaves room "
            "for what makes the network's input)"
        )
