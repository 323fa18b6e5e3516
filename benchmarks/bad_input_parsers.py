"""The parsers that bad_input.py damages files for: valid files of each, and how it is read."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from bad_input_run_files import RUN_FILES, in_run
from bad_input_tables import TABLES
from bad_input_trial import Parser
from PIL import Image

from danas_jax import config_io, disk
from danas_jax.config import DataSettings, Limits
from danas_jax.errors import UserError
from danas_jax.hardware import boards, tflite_reader
from danas_jax.search import archive, pareto_json
from danas_jax.search.tiers import TIERS
from danas_jax.spaces import quickstart


def _config() -> Parser:
    from danas_jax.config_checks import validate

    names = ("quickstart", "person_photos", "speech_commands", "uci_har")
    texts = []
    for name in names:
        found = config_io.load_config(name)
        if found.data.source != "synthetic":
            found = replace(found, data=replace(found.data, path="/pictures"))
        texts.append(json.dumps({"schema_version": 1, **config_io.to_json(found)}))

    def read(path: Path) -> None:
        validate(config_io.read_config(path))

    valid = tuple(text.encode() for text in texts)
    return Parser("config", valid, read, "config.json", "json", command=lambda path: ["status", str(path.parent)])


def _boards() -> Parser:
    text = (Path(boards.__file__).parent / "boards.toml").read_bytes()
    return Parser(
        "boards", (text, text[: text.index(b"\n[", 800)]), boards.read_boards, "boards.toml", "lines", words=("board",)
    )


def _archive() -> Parser:
    space = quickstart()
    genes = np.array([space.min_genes, space.max_genes])
    costs = {"macs": np.array([1, 2]), "arena_device_bytes": np.array([3.0, 4.0])}
    half, full = np.array([0.5, 0.75]), np.array([np.nan, 0.5])
    every = archive.Evaluations(genes, half, full, full, {"": costs}, {"half": 100.0, "full": 200.0}, 0)
    found = archive.candidates(space, every, "", np.arange(2))
    budget = archive.BudgetResult(Limits(sram_bytes=65536), found, found, (found[0].id,), (0.1, 0.2))
    tiers = {tier: dict.fromkeys(keys, 0.5) for tier, keys in TIERS.items()}
    made = archive.Archive(
        archive.space_header(space), ("error", "sram"), "accuracy", (budget,), {**tiers, "int8": None}
    )

    def read(path: Path) -> None:
        in_run(path.parent.parent)
        archive.winning_data(pareto_json.load(path))
        pareto_json.load(path, space)

    def command(path: Path) -> list[str]:
        return ["status", str(path.parent.parent)]

    content = json.dumps(pareto_json.to_json(made)).encode()
    return Parser("archive", (content,), read, "search/pareto.json", "json", command=command)


def _network() -> bytes:
    from danas_jax.deploy.tflite_writer import random_model, write_tflite

    space = quickstart()
    classes = {"classes": ["cat", "dog"], "data": {"resolution_px": 48, "colour": "mono", "native_resolution_px": 96}}
    return write_tflite(random_model(space.layers(space.min_genes, 2)), classes)


def _tflite() -> Parser:
    from danas_jax.deploy.classifier import parse_classifier
    from danas_jax.deploy.evaluate import stored
    from danas_jax.hardware.figures import Setting, figures
    from danas_jax.hardware.runtimes import runtime

    def read(path: Path) -> None:
        figures(tflite_reader.read(path), Setting(runtime("tflm"), None, None, False, 0, False))
        stored(parse_classifier(path.read_bytes(), str(path)), str(path))

    return Parser("tflite", (_network(),), read, "model.tflite", command=lambda path: ["cost", str(path)])


def _manifest() -> Parser:
    """A manifest.json beside its .tflite file."""
    import hashlib

    from danas_jax.deploy.classifier import parse_classifier
    from danas_jax.deploy.predict import Predictor
    from danas_jax.views.frame import pair

    tflite = _network()
    model = parse_classifier(tflite, "model")
    side, _, channels = model.shape
    manifest = {
        "schema_version": 1,
        "id": "x",
        "classes": ["cat", "dog"],
        "multi_label": False,
        "data": {"resolution_px": side, "colour": "mono", "channels": channels, "native_resolution_px": 96},
        "input": {"dtype": "int8", "scale": 1 / 128, "zero_point": 0, "shape": [1, *model.shape]},
        "output": {"scale": model.output.scale, "zero_point": model.output.zero_point},
        "operating_point": {"positive_class": "dog", "threshold_codes": 3, "max_false_alarm_rate": 0.1},
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }

    def read(path: Path) -> None:
        model_file = path.parent / "model_int8.tflite"
        if not model_file.exists():
            model_file.write_bytes(tflite)
        predictor = Predictor(model_file)
        predictor.view(np.zeros((*pair(predictor.native_px), 3), np.uint8))

    return Parser("manifest", (json.dumps(manifest).encode(),), read, "manifest.json", kind="json")


def _wav() -> Parser:
    from danas_jax.data.sources.readers import reader

    kind = reader(DataSettings(modality="audio", sample_rate_hz=16000, clip_s=0.05), 0)

    def wav(channels: int, rate_hz: int, bits: int, encoding: int) -> bytes:
        samples = np.random.default_rng(bits).integers(0, 256, 800 * channels * bits // 8, np.uint8)
        if encoding == 3:
            samples = np.linspace(-1, 1, 800 * channels).astype("<f4").view(np.uint8)
        frame = channels * bits // 8
        form = struct.pack("<HHIIHH", encoding, channels, rate_hz, rate_hz * frame, frame, bits)
        chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", samples.size) + samples.tobytes()
        return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks

    kinds = ((1, 16000, 16, 1), (2, 44100, 16, 1), (1, 8000, 8, 1), (1, 48000, 24, 1), (1, 16000, 32, 3))

    def read(path: Path) -> None:
        content = path.read_bytes()
        try:
            kind.probe(content[: kind.head_bytes])
        except ValueError as error:  # which `files.probe` turns into a reason
            raise UserError(f"{path}: {error}") from error
        kind.encoded(content, str(path))

    return Parser("wav", tuple(wav(*values) for values in kinds), read, "clip.wav")


def _picture() -> Parser:
    from danas_jax.data.decode import read_image

    pixels = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
    files = []
    exif = Image.Exif()
    exif[274] = 6
    for form, options in (
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("BMP", {}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, form, **options)
        files.append(buffer.getvalue())

    def read(path: Path) -> None:
        with _bombs_told():
            read_image(path, 32)

    return Parser("picture", tuple(files), read, "picture.png", packed=_png)


def _bombs_told():
    """Pillow's warning of many pixels is for a reader; our limit is what refuses them."""
    import warnings

    context = warnings.catch_warnings()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return context


def _png(random: Random) -> bytes:
    """A PNG whose header claims many pixels, with a right checksum."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    sides = [random.choice((0, 1, 9, 4000, 9000, 13_000, 2**31 - 1)) for _ in range(2)]
    form = struct.pack(">IIBBBBB", *sides, random.choice((8, 16)), random.choice((0, 2, 3, 6)), 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(bytes(random.choice((10, 10_000))))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", form) + rest


def _npz() -> Parser:
    from danas_jax.data.dataset import open_data

    settings = {
        "series": DataSettings(source="npz", modality="series", slice_fields=("who",)),
        "image": DataSettings(source="npz", modality="image"),
    }
    rng = np.random.default_rng(0)
    series = {"x": rng.integers(-99, 99, (24, 8, 2)).astype(np.int16), "scale": np.array([0.1, 0.2])}
    series |= {"y": np.arange(24) % 2, "classes": np.array(["a", "b"]), "who": np.arange(24) % 5}
    floats = {"x": rng.normal(0, 1, (24, 8, 2)).astype(np.float32), "y": np.arange(24) % 2, "who": np.arange(24) % 5}
    pictures = {"x": rng.integers(0, 256, (24, 9, 9, 3), np.uint8), "y": np.arange(24) % 2}
    files = []
    for arrays, save in ((series, np.savez), (floats, np.savez_compressed), (pictures, np.savez)):
        buffer = io.BytesIO()
        save(buffer, **arrays)
        files.append(buffer.getvalue())

    def read(path: Path) -> None:
        failed = None
        for chosen in settings.values():
            try:
                data = open_data(replace(chosen, path=str(path)), 8, 0)
                _ = data.load("train", "train").raw[:1]
            except UserError as error:
                failed = error
            else:
                return
        raise failed or AssertionError

    return Parser("npz", tuple(files), read, "all.npz", packed=lambda random: _zipped(files, random))


def _zipped(files: list[bytes], random: Random) -> bytes:
    """An .npz whose checksums are right and one of whose arrays is not: what mutation of the bytes does not reach."""
    import warnings

    from bad_input_changes import mutate

    with zipfile.ZipFile(io.BytesIO(random.choice(files))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(members))
    head, body = members[name][:128], members[name][128:]
    if random.random() < 0.2:  # what a header may claim
        kinds = ("<i8", "|O", "<U0", "|V4", "<U4", "<f8", "<M8[ns]", "<c16", "|b1", "<i8x")
        shapes = ("()", "(24,)", "(-1,)", "(1000000000000,)", "(24, 8, 2)", "(0,)", "(2, 10, 10, 3)")
        text = f"{{'descr': '{random.choice(kinds)}', 'fortran_order': False, 'shape': {random.choice(shapes)}, }}"
        head = b"\x93NUMPY\x01\0" + struct.pack("<H", 118) + text.ljust(117)[:117].encode() + b"\n"
    elif random.random() < 0.5:
        head = mutate(head, random)
    members[name] = head + (body if random.random() < 0.7 else mutate(body, random))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", random.choice((0, 8))) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()


def _weights() -> Parser:
    from danas_jax.config import TrainSettings
    from danas_jax.transfer import source

    buffer = io.BytesIO()
    arrays = {"params/stem/kernel": np.ones((3, 3, 1, 4), np.float32), "params/stem/bias": np.ones(4, np.float32)}
    np.savez(buffer, **arrays)
    files = [buffer.getvalue()]

    def read(path: Path) -> None:
        disk.read_arrays(path)
        source.read(source.resolved(TrainSettings(init_from=str(path)), "train"), "train")

    return Parser("weights", tuple(files), read, "weights.npz", packed=lambda random: _zipped(files, random))


PARSERS: dict[str, Callable[[], Parser]] = {
    **TABLES,
    **RUN_FILES,
    "weights": _weights,
    "archive": _archive,
    "config": _config,
    "boards": _boards,
    "manifest": _manifest,
    "npz": _npz,
    "tflite": _tflite,
    "picture": _picture,
    "wav": _wav,
}
