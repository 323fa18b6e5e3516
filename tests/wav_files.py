"""Wav files of every kind that recorders write, byte by byte."""

import struct
from pathlib import Path

import numpy as np

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def wav_bytes(values, rate_hz=16000, bits=16, encoding=PCM, extensible=False, extra=b"", size=None):
    """A wav file of `values` [T] or [T, channels], whole numbers of `bits` bits (floats for FLOAT)."""
    values = np.atleast_2d(np.asarray(values).T).T
    channels = values.shape[1]
    if encoding == FLOAT:
        samples = values.astype("<f4").tobytes()
    elif bits == 8:
        samples = values.astype(np.uint8).tobytes()
    elif bits == 24:
        samples = values.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    else:
        samples = values.astype(f"<i{bits // 8}").tobytes()
    frame = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", EXTENSIBLE if extensible else encoding, channels, rate_hz, rate_hz * frame, frame, bits
    )
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, encoding) + bytes(14)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + extra
    chunks += b"data" + struct.pack("<I", len(samples) if size is None else size) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def wav(path: Path, values, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_bytes(values, **options))
    return path


def words(root: Path, *places: str, count: int = 12, samples: int = 800) -> Path:
    """`count` clips in each of `places`, named as in Speech Commands: two of each speaker."""
    for number, place in enumerate(places):
        for i in range(count):
            sound = np.random.default_rng(100 * number + i).integers(-1000, 1000, samples)
            wav(root / place / f"{i // 2:04x}_nohash_{i % 2}.wav", sound)
    return root
