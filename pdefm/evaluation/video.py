"""Pictures as a film that browsers and presentation programs play."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pdefm.errors import EnvironmentFault
from pdefm.files import atomic_path

if TYPE_CHECKING:
    from PIL.Image import Image

CODECS = ("libx264", "mpeg4")  # the first one that the installed library brings
QUALITY = {"libx264": {"crf": "16"}, "mpeg4": {"qscale:v": "2"}}


def check_video() -> None:
    """Refuse early where no film can be written.

    Raises:
        EnvironmentFault: The encoder is not installed.
    """
    if find_spec("av") is None:
        raise EnvironmentFault(
            "MP4 needs an encoder that is not installed",
            do="pip install 'pdefm[video]', or write .gif",
        )


def write_film(path: str | Path, images: Sequence["Image"], fps: int) -> None:
    """Write RGB pictures of one size as MP4; odd sides lose their last line.

    Args:
        path: Where to; its folder is made.
        images: At least one.
        fps: Frames a second.

    Raises:
        EnvironmentFault: The encoder is not installed, or the file cannot be written.
    """
    check_video()
    import av
    from av.video.stream import VideoStream

    name = next(name for name in CODECS if name in av.codecs_available)
    width, height = (side // 2 * 2 for side in images[0].size)  # the colours are stored in twos
    fast = {"movflags": "faststart"}  # browsers begin before the whole file is there
    with atomic_path(path) as partial, av.open(partial, "w", format="mp4", options=fast) as film:
        stream = film.add_stream(name, rate=fps, options=QUALITY[name])
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in images:
            values = np.ascontiguousarray(np.asarray(image)[:height, :width])
            film.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="rgb24")))
        film.mux(stream.encode())
