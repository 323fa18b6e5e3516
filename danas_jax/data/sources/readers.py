"""How one example becomes an array of fixed shape and dtype, by modality: pictures and sound."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import PIL
from PIL import Image

from danas_jax.config import DataSettings
from danas_jax.data import decode, sound
from danas_jax.errors import Unreadable
from danas_jax.views.frame import Size, pair

NOUNS = {"image": "images", "audio": "clips", "series": "windows"}
_DONE = {"stretch": "squashed", "crop": "cropped", "pad": "padded"}  # to a picture, by data.fit; names stores


@dataclass(frozen=True)
class Reader:
    """Reads examples of one kind; both readings raise Unreadable under the name that they are given."""

    noun: str  # "images": what its examples are called
    decoding: str  # what is done to a file; another version decodes otherwise
    extensions: tuple[str, ...]  # of their files, small letters
    kinds: str  # for people: "jpg, jpeg or png"
    shape: tuple[int, ...]
    dtype: np.dtype
    head_bytes: int  # of a file's beginning that `probe` looks at [B]
    probe: Callable[[bytes], str]  # what to tell of a file, "" for nothing; ValueError: why it is none
    encoded: Callable[[bytes, str], np.ndarray]  # (content of a file, its name)
    array: Callable[[np.ndarray, str, int], np.ndarray]  # (decoded example, name, rate [Hz], 0 = the right one)


def reader(settings: DataSettings, native_px: Size) -> Reader:
    """The reader of the modality of `settings` (image or audio)."""
    return _sounds(settings) if settings.modality == "audio" else images(native_px, settings.fit)


def images(native_px: Size, fit: str = "stretch") -> Reader:
    """Pictures as uint8 [h, w, 3]."""

    def probe(head: bytes) -> str:
        if not head:
            raise ValueError("empty file")
        if not head.startswith(decode.SIGNATURES):
            raise ValueError("not an image inside")
        return ""

    def array(picture: np.ndarray, name: str, rate_hz: int) -> np.ndarray:
        if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3))):
            raise Unreadable(name, f"a picture is uint8 [H, W, 3] or [H, W, 1], not {picture.dtype} {picture.shape}")
        if picture.ndim == 2 or picture.shape[2] == 1:
            picture = picture.reshape(*picture.shape[:2], 1).repeat(3, axis=2)
        return decode.fitted(Image.fromarray(picture), native_px, fit)

    return Reader(
        noun=NOUNS["image"],
        decoding=f"{_DONE[fit]} pictures, Pillow {PIL.__version__}",
        extensions=decode.EXTENSIONS,
        kinds="jpg, jpeg or png",
        shape=(*pair(native_px), 3),
        dtype=np.dtype(np.uint8),
        head_bytes=4,
        probe=probe,
        encoded=lambda content, name: decode.read_image(content, native_px, name, fit),
        array=array,
    )


@contextlib.contextmanager
def _named(name: str) -> Generator[None]:
    """A reason becomes the reason why `name` cannot be read."""
    try:
        yield
    except ValueError as error:
        raise Unreadable(name, str(error)) from error


def _sounds(settings: DataSettings) -> Reader:
    """Sound as int16 [samples]."""
    rate_hz, samples = settings.sample_rate_hz, round(settings.clip_s * settings.sample_rate_hz)

    def probe(head: bytes) -> str:
        try:
            found = sound.header(head)
        except ValueError as error:
            if str(error) == sound.TRUNCATED and len(head) == sound.HEAD_BYTES:
                return ""  # the sound begins further in: reading will tell
            raise
        if found.rate_hz != rate_hz:
            return f"are not at {rate_hz} Hz: resampled"
        if found.channels > 1:
            return "have several channels: their mean is taken"
        return f"are longer than {settings.clip_s:g} s: the middle is taken" if found.clip_s > settings.clip_s else ""

    def encoded(content: bytes, name: str) -> np.ndarray:
        with _named(name):
            return sound.read_wav(content, rate_hz, samples)

    def array(clip: np.ndarray, name: str, clip_rate_hz: int) -> np.ndarray:
        with _named(name):
            return sound.fitted(sound.to_int16(clip), clip_rate_hz or rate_hz, rate_hz, samples)

    return Reader(
        noun=NOUNS["audio"],
        decoding=f"sound at {rate_hz} Hz",
        extensions=sound.EXTENSIONS,
        kinds="wav",
        shape=(samples,),
        dtype=np.dtype(np.int16),
        head_bytes=sound.HEAD_BYTES,
        probe=probe,
        encoded=encoded,
        array=array,
    )
