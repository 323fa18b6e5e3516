"""A reader of TensorBoard's event files that shares nothing with the writer but the protobuf definition.

It does what TensorBoard does: files of a folder in the order of their names, each record's checksums compared, and a
session's start forgets what was read of its step and later ones.
"""

import struct
from pathlib import Path


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The checksum as TFRecord files hold it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(path: Path) -> list:
    """The events of one file; fails on a torn or damaged record."""
    from tensorboardX.proto.event_pb2 import Event

    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        length, length_sum = struct.unpack_from("<QI", data, at)
        assert length_sum == masked(data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        assert len(body) == length
        assert struct.unpack_from("<I", data, at + 12 + length) == (masked(body),)
        found.append(Event.FromString(body))
        at += 16 + length
    return found


def scalars(run_dir: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """{(folder below tensorboard/, tag): [(step, value) in the order of reading]}."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    root = run_dir / "tensorboard"
    for path in sorted(root.rglob("*tfevents*")):
        folder = str(path.parent.relative_to(root))
        for event in events(path):
            if event.HasField("session_log"):
                for key in [key for key in found if key[0] == folder]:
                    found[key] = [point for point in found[key] if point[0] < event.step]
            for value in event.summary.value:
                found.setdefault((folder, value.tag), []).append((event.step, value.simple_value))
    return {key: points for key, points in found.items() if points}
