"""Reads flatbuffers whose bytes nobody vouches for: tables, their fields by number, vectors. Standard library only.

The flatbuffers package follows offsets without looking where they lead (a negative one reads from the end). Here every
position is checked against the file and what is read in total is bounded, so a damaged file ends in a UserError.
"""

from __future__ import annotations

import struct

from danas_jax.errors import UserError

# A damaged file may name one long vector a thousand times. Network of 1000 operators: about 300,000.
BUDGET = 4 * 2**20  # vector elements and characters read in total
TABLE_COST = 32  # what one table takes of it


class File:
    """The file's bytes and what may still be read of them. Every method raises UserError where the file is damaged."""

    def __init__(self, data: bytes):
        self.data, self.budget = data, BUDGET

    def check(self, position: int, size: int) -> None:
        """Raises unless `size` bytes from `position` on lie within the file."""
        if position < 0 or position + size > len(self.data):
            text = f"damaged or cut off: it refers to bytes {position} to {position + size} of {len(self.data)}"
            raise UserError(text)

    def spend(self, count: int) -> None:
        """Takes `count` of what may be read in total."""
        self.budget -= count
        if self.budget < 0:
            raise UserError("damaged, or too many tensors and operators for a microcontroller's network")

    def number(self, code: str, position: int) -> int:
        """The integer at `position`; `code` as in the struct module, little-endian."""
        self.check(position, struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{code}", self.data, position)[0]

    def follow(self, position: int) -> int:
        """Where the offset at `position` leads."""
        return position + self.number("I", position)


class Table:
    """A table of the flatbuffer; fields by their ids, absent ones give the default."""

    def __init__(self, file: File, position: int):
        file.spend(TABLE_COST)
        self.file, self.position = file, position
        self.vtable = position - file.number("i", position)
        self.end = file.number("H", self.vtable)

    def place(self, field: int) -> int | None:
        """Position of a field, None when absent."""
        entry = 4 + 2 * field
        offset = self.file.number("H", self.vtable + entry) if entry + 2 <= self.end else 0
        return self.position + offset if offset else None

    def number(self, field: int, code: str) -> int:
        """An integer field, 0 when absent; `code` as in the struct module."""
        place = self.place(field)
        return 0 if place is None else self.file.number(code, place)

    def vector(self, field: int, size: int) -> tuple[int, int]:
        """(position of the first element, count) of a vector of `size` bytes an element; (0, 0) when absent."""
        place = self.place(field)
        if place is None:
            return 0, 0
        start = self.file.follow(place)
        count = self.file.number("I", start)
        self.file.check(start + 4, count * size)
        return start + 4, count

    def integers(self, field: int) -> tuple[int, ...]:
        """A vector of int32."""
        start, count = self.vector(field, 4)
        self.file.spend(count)
        return struct.unpack_from(f"<{count}i", self.file.data, start)

    def text(self, field: int) -> str:
        """A string; bytes that are no UTF-8 become U+FFFD."""
        start, count = self.vector(field, 1)
        self.file.spend(count)
        return self.file.data[start : start + count].decode(errors="replace")

    def table(self, field: int) -> Table | None:
        """The table a field refers to, None when absent."""
        place = self.place(field)
        return None if place is None else Table(self.file, self.file.follow(place))

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start, count = self.vector(field, 4)
        return [Table(self.file, self.file.follow(start + 4 * i)) for i in range(count)]
