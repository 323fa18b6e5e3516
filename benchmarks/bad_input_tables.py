"""The CSV tables that bad_input.py damages: valid files of each, and how it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from bad_input_trial import Parser
from PIL import Image

from danas_jax.config import DataSettings
from danas_jax.hardware import lut
from danas_jax.spaces import quickstart


def _lut() -> Parser:
    text = """# {"board": "nano", "runtime": "tflm", "version": 1}
op,input,output,kernel,stride,padding,ms,readings,spread
OVERHEAD,,,,,,0.01,3,0.01
CONV_2D,48x48x3,24x24x8,3x3,2x2,same,1.5,3,0.02
CONV_2D,24x24x8,24x24x16,1x1,1x1,same,1.1,3,0.02
DEPTHWISE_CONV_2D,24x24x8,24x24x8,3x3,1x1,same,0.9,3,0.02
FULLY_CONNECTED,64,10,,,,0.02,3,0.02
ADD,24x24x8,24x24x8,,,,0.2,3,0.1
"""

    def read(path: Path) -> None:
        table = lut.load(path)
        for key in table.rows:
            table.time(key)
        _ = table.fits, table.fallback

    return Parser("lut", (text.encode(), text.replace("0.9", "0").encode()), read, "table.csv", "lines")


def _table() -> Parser:
    from danas_jax.deploy.alone import Table

    text = "key,system,seed,epochs,image_views,half_accuracy,full_accuracy\n"
    text += "".join(f"{i:016x},net{i},0,3,900,0.{50 + i},0.{60 + i}\n" for i in range(5))

    def read(path: Path) -> None:
        table = Table(path, ("half", "full"))
        table.get("0" * 16)

    return Parser("table", (text.encode(),), read, "trained.csv", "lines")


def _networks() -> Parser:
    """Networks that were timed whole."""
    from danas_jax.lut import measured

    space = quickstart()
    text = '# {"board": "nano", "reference_ms": 1.5}\nspace,classes,genes,id,ms,readings,spread\n'
    for ms, genes in enumerate((space.min_genes, space.max_genes), 1):
        text += f"quickstart,2,{'-'.join(map(str, genes))},{space.candidate_id(genes)},{ms},3,0.01\n"

    def read(path: Path) -> None:
        measured.read(path)

    models = "model,ms\na.tflite,1.5\nb/c.tflite,2\n"
    return Parser("networks", (text.encode(), models.encode()), read, "networks.csv", "lines")


def _listing() -> Parser:
    """A CSV file that lists pictures, which are there."""
    from danas_jax.data.dataset import open_data

    names = [f"{i}.png" for i in range(24)]
    text = "file,label,split,group,camera\n"
    for i, name in enumerate(names):
        split = ("train", "train", "train", "validation", "test")[i % 5]
        text += f"{name},{'cat' if i // 5 % 2 else 'dog'},{split},g{i // 2},{'a' if i % 3 else 'b'}\n"
    settings = DataSettings(source="csv", path="", slice_fields=("camera",))

    def read(path: Path) -> None:
        for name in names:
            if not (path.parent / name).exists():
                Image.new("RGB", (9, 9)).save(path.parent / name)
        open_data(dataclasses.replace(settings, path=str(path)), 8, 0)

    return Parser("listing", (text.encode(),), read, "list.csv", "lines", words=("class", "train", "validation"))


def _metadata() -> Parser:
    """What is known of the files in a folder."""
    from danas_jax.data import metadata

    text = "file,group,camera\n" + "".join(f"cat/{i}.png,g{i // 2},{'a' if i % 3 else 'b'}\n" for i in range(9))

    def read(path: Path) -> None:
        found = metadata.read_slices(path.parent, ("camera",), "data.slice_fields")
        metadata.values(found, ("cat/1.png", "dog/1.png"))
        metadata.read_column(path.parent, "group", "data.group_field")

    return Parser("metadata", (text.encode(),), read, metadata.NAME, "lines")


TABLES: dict[str, Callable[[], Parser]] = {  # the cheapest first
    "table": _table,
    "metadata": _metadata,
    "networks": _networks,
    "lut": _lut,
    "listing": _listing,
}
