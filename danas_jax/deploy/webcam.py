"""An exported model on a webcam's frames, each seen as the device would see it."""

from __future__ import annotations

from collections.abc import Generator

from PIL import Image

from danas_jax.data.decode import fitted
from danas_jax.deploy.predict import Predictor
from danas_jax.errors import UserError


def predict_webcam(predictor: Predictor, index: int) -> Generator[dict]:
    """{"label", "scores"} of one frame after the other, until nobody asks any more.

    UserError without OpenCV, without such a camera, and when it gives no more frames.
    """
    try:
        import cv2  # ty: ignore[import-not-found]
    except ImportError:
        raise UserError("--webcam: OpenCV is not installed here: pip install 'danas_jax[webcam]'") from None
    camera = cv2.VideoCapture(index)
    try:
        if not camera.isOpened():
            raise UserError(f"--webcam {index}: there is no such camera, or another program has it")
        while True:
            there, frame = camera.read()  # uint8 [H, W, 3], blue first
            if not there:
                raise UserError(f"--webcam {index}: the camera gives no frame")
            picture = fitted(Image.fromarray(frame[..., ::-1].copy()), predictor.native_px, predictor.fit)
            yield predictor(predictor.view(picture)[None])[0]
    finally:
        camera.release()
