"""A page with truth, prediction and error of every field."""

import numpy as np
import pytest
from PIL import Image

from pdefm.errors import DataError
from pdefm.evaluation.contact_sheet import sheet_steps, write_contact_sheet
from pdefm.evaluation.panels import Comparison
from tests.evaluation.report_inputs import wave


@pytest.mark.parametrize(
    ("num_steps", "num_known", "steps"),
    [
        (3, 3, [0, 1, 2]),
        (11, 11, [0, 2, 4, 6, 8, 10]),
        (11, 0, [0, 2, 4, 6, 8, 10]),
        (20, 10, [0, 4, 9, 10, 14, 19]),
        (5000, 1, [0, 1, 1250, 2500, 3750, 4999]),
        (12, 11, [0, 2, 5, 8, 10, 11]),
    ],
)
def test_columns_are_spread_over_what_is_known_and_what_is_not(num_steps, num_known, steps):
    assert sheet_steps(num_steps, num_known) == pytest.approx(steps, abs=1)
    found = sheet_steps(num_steps, num_known)
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (0, num_steps - 1)


@pytest.mark.parametrize(
    ("shape", "num_known"), [((32,), 2), ((32,), 0), ((16, 16), 2), ((8, 8, 8), 0)]
)
def test_a_sheet_is_drawn_for_any_number_of_axes(tmp_path, shape, num_known):
    names = ("vorticity", "density")
    prediction = wave(shape, 3, start=2, noise=0.1, names=names)
    truth = wave(shape, num_known, start=2, names=names) if num_known else None
    path = write_contact_sheet(tmp_path / "new" / "x.png", prediction, truth, names)
    picture = np.asarray(Image.open(path).convert("RGB"))
    half = picture.shape[1] // 2
    right = picture[:, half : int(1.8 * half)]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    inked = (right != 255).any(-1).mean()
    assert inked > 0.02
    assert [each.name for each in path.parent.iterdir()] == ["x.png"]


def test_scales_and_errors_come_from_the_truth_as_far_as_it_goes():
    prediction, truth = wave((8, 8), 4, noise=0.1), wave((8, 8), 2)
    found = Comparison.with_start(prediction, truth, "vorticity")
    assert found.num_known == 2
    wanted = prediction.fields[:2, 0].double() - truth.fields[:, 0].double()
    assert np.allclose(found.errors["prediction"], wanted.numpy())
    assert found.scale.high == pytest.approx(float(truth.fields.abs().max()))
    alone = Comparison.with_start(prediction, None, "vorticity")
    assert alone.scale.high == pytest.approx(float(prediction.fields.abs().max()))


def test_an_unknown_field_is_refused(tmp_path):
    with pytest.raises(DataError, match="unknown field"):
        write_contact_sheet(tmp_path / "x.png", wave(), None, ["vortex"])
    assert not list(tmp_path.iterdir())
