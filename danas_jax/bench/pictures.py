"""Pictures for `bench data` where nobody gives any (no jax)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from danas_jax.data import synthetic

PICTURES = 6000  # files that are made where no folder is given
SCENES = 300  # of them, how many are different
PICTURE_PX, QUALITY = 160, 85


def make_pictures(root: Path, pictures: int = PICTURES) -> None:
    """JPEGs of 160 x 160 px below root/<class>/, each scene many times under other names."""
    contents: dict[str, list[bytes]] = {name: [] for name in synthetic.CLASSES}
    scratch = root / "scene.jpg"
    for i in range(min(SCENES, pictures)):
        pixels, label = synthetic.scene(0, "train", i, detail_px=8, colour_cue=0.0)
        picture = Image.fromarray(pixels).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC)
        picture.save(scratch, quality=QUALITY)
        contents[synthetic.CLASSES[label]].append(scratch.read_bytes())
    scratch.unlink()
    for name, files in contents.items():
        (root / name).mkdir()
        for i in range(pictures // len(contents)):
            (root / name / f"{i:05d}.jpg").write_bytes(files[i % len(files)])
