"""A part of bad_input.py's campaign in a process of its own, so that its memory is its own and native code may die.

bad_input.py starts it: ENGINE PARSER FOLDER ANSWER SEED START CASES KEEP.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(engine: str, name: str, folder: Path, answer: Path, seed: int, start: int, cases: int, keep: Path) -> None:
    """Run the cases `start` to `start + cases` of the engine, and write their tally to `answer`."""
    if engine == "atheris":  # which has to be there before danas is imported, and ends the process
        import bad_input_atheris

        bad_input_atheris.run(name, folder, answer, seed + start, cases, keep)
    from bad_input_parsers import PARSERS
    from bad_input_trial import written

    if engine == "hypothesis":
        from bad_input_hypothesis import campaign

        tally = campaign(PARSERS[name](), folder, seed, start, cases, keep)
    else:
        from bad_input_own import campaign

        tally = campaign(PARSERS[name](), folder, seed, start, cases)
    answer.write_text(written(tally))


if __name__ == "__main__":
    kind, parser, place, result, *numbers, kept = sys.argv[1:]
    main(kind, parser, Path(place), Path(result), *map(int, numbers), keep=Path(kept))
