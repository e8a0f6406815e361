"""Damaged and hostile files of arrays: one line, and nothing that runs."""

import os
import pickle

import h5py
import numpy as np
import pytest
import torch
import zarr

from pdefm.data.open import open_trajectories
from pdefm.errors import DataError
from tests.data.formats.write_arrays import WITH_NAMED_AXES, WITHOUT_NAMED_AXES

WRITERS = WITHOUT_NAMED_AXES | WITH_NAMED_AXES
ONE_FILE = [kind for kind in WRITERS if "zarr" not in kind]


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def save_hostile(kind, folder):
    path = folder / f"hostile.{kind}"
    bombs = np.array([Bomb()] * 8, dtype=object).reshape(2, 4)
    match kind:
        case "npy":
            np.save(path, bombs, allow_pickle=True)
        case "npz":
            np.savez(path, u=bombs)
        case "pt":
            torch.save({"u": Bomb()}, path)
        case "h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("u", (2, 4), h5py.string_dtype())
        case "zarr":
            group = zarr.open_group(path, mode="w", zarr_format=2)
            group.create_array("u", shape=(2, 4), dtype="f8")[...] = 1.0
            text = (path / "u" / ".zarray").read_text()
            text = text.replace('"filters": null', '"filters": [{"id": "pickle", "protocol": 5}]')
            (path / "u" / ".zarray").write_text(text)
            (path / "u" / "0.0").write_bytes(pickle.dumps(Bomb()))
    return path


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "h5", "zarr"])
def test_objects_are_never_unpickled(kind, trust, tmp_path, monkeypatch):
    path = save_hostile(kind, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as raised:
        open_trajectories(path, axes="T X", trust=trust)[0]
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", ONE_FILE)
def test_a_file_cut_off_anywhere_is_one_line(kind, tmp_path):
    fields = {"u": np.arange(720.0).reshape(3, 5, 6, 8), "v": np.ones((3, 5, 6, 8))}
    dims = [{key: ("n", "t", "x", "y") for key in fields}] if kind in WITH_NAMED_AXES else []
    write, suffix = WRITERS[kind]
    path = write(tmp_path / f"data{suffix}", fields, *dims)
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError) as raised:
            list(open_trajectories(path, axes="N T X Y", trust=True))
        assert "\n" not in str(raised.value)
