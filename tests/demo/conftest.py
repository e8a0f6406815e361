"""A model that takes Burgers' equation, on a grid small enough for tests."""

import numpy as np
import pytest

from tests.tiny_dpot import randomize, tiny_model, tiny_processor

FIELDS = ("velocity_x", "velocity_y")


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path / "home"))
    folder = tmp_path / "tiny-flow"
    model = tiny_model(field_names=list(FIELDS))
    randomize(model, spread=0.05)
    model.save_pretrained(folder)
    tiny_processor(FIELDS, resolutions=[[16, 16]], dt=[0.01, 1.0]).save_pretrained(folder)
    return folder


@pytest.fixture
def bad_file(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("these are notes\n" * 40)
    return path


@pytest.fixture
def good_file(tmp_path):
    from tests.tiny import write_waves

    return write_waves(tmp_path / "waves.npy", 2, 6, 2, 16, 16)


@pytest.fixture
def broken_file(tmp_path, good_file):
    values = np.load(good_file)
    values[0, 1, 0, 3, 3] = np.nan
    path = tmp_path / "broken.npy"
    np.save(path, values)
    return path
