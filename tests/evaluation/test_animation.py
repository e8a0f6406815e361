import numpy as np
import pytest
from PIL import Image

from pdefm.errors import DataError
from pdefm.evaluation.animation import MAX_FRAMES, write_gif
from tests.evaluation.report_inputs import wave


@pytest.mark.parametrize("shape", [(32,), (16, 16), (8, 8, 8)])
def test_the_animation_has_a_frame_a_common_time(tmp_path, shape):
    predictions = {"model": wave(shape, num_frames=3, start=2, noise=0.1)}
    path = write_gif(tmp_path / "new" / "x.gif", wave(shape, 6), predictions, "vorticity", fps=5)
    image = Image.open(path)
    assert image.n_frames == 3
    assert image.info["duration"] == 200
    assert image.info["loop"] == 0
    assert [each.name for each in path.parent.iterdir()] == ["x.gif"]
    first = np.asarray(image.convert("RGB")).astype(int)
    image.seek(2)
    assert (np.asarray(image.convert("RGB")).astype(int) != first).any()
    assert (first[0, 0] == 255).all()


def test_a_long_rollout_is_thinned(tmp_path):
    truth = wave((4, 4), num_frames=2 * MAX_FRAMES + 1)
    path = write_gif(tmp_path / "x.gif", truth, {"model": truth}, "vorticity")
    assert Image.open(path).n_frames == 41


def test_without_a_common_time_there_is_an_error_and_no_file(tmp_path):
    with pytest.raises(DataError, match="shares a time"):
        write_gif(tmp_path / "x.gif", wave(), {"model": wave(start=100)}, "vorticity")
    assert list(tmp_path.iterdir()) == []
