"""The front end of each kind of view."""

from __future__ import annotations

from danas_jax.deploy.firmware.c_frame import Frame
from danas_jax.deploy.firmware.c_mel import Microphone
from danas_jax.deploy.firmware.c_series import Sensors
from danas_jax.deploy.firmware.front_end import FrontEnd
from danas_jax.errors import UserError
from danas_jax.views.base import NetworkInput

FRONT_ENDS = {"image": Frame, "audio": Microphone, "series": Sensors}


def front_end_of(source: NetworkInput, raw_shape: tuple[int, ...]) -> FrontEnd:
    """What makes `source` of raw examples [...] as they were recorded; UserError for a view that has no C."""
    kind = source.view.kind
    if kind not in FRONT_ENDS:
        raise UserError(f"the {kind} view has no C for a board: use model.h of the export")
    return FRONT_ENDS[kind].of(source, raw_shape)
