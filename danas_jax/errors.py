"""The two ways a run ends early without being a bug; `danas_jax.cli` turns them into exit codes."""


class UserError(Exception):
    """Bad input (exit code 2): say the field or file, its value, and what would be right."""


class Unreadable(UserError):
    """One example that cannot be read: of many it may be left out (`data.max_unreadable_fraction`)."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: cannot be read ({reason})")
        self.reason = reason


class Interrupted(Exception):
    """The user or the scheduler stopped the run (exit code 3); the same command resumes it."""


def shortened(text: str, most: int = 200) -> str:
    """`text`, its middle left out where it has more than `most` characters."""
    half = (most - 5) // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"
