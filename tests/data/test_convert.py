"""Conversion to our own layout: the same numbers, nothing half-written, everything listed."""

import json

import h5py
import numpy as np
import pytest
import torch
import yaml

from pdefm.data import convert
from pdefm.data.convert import Conversion
from pdefm.data.formats.well_writer import write_well
from pdefm.data.open import open_trajectories
from pdefm.errors import DataError, EnvironmentFault, RecipeError
from pdefm.files import verify_manifest

SAID = {"axes": "N T X Y C", "names": "velocity_x,velocity_y", "dt": 0.5, "units": "m/s,m/s"}


@pytest.fixture
def source(tmp_path):
    """A user's own array, float64, the third trajectory crashed, the fifth with a NaN."""
    values = np.random.default_rng(0).normal(2.0, 3.0, size=(7, 6, 8, 12, 2))
    values[2, 4:] = 0.0
    values[4, 3, 1, 1, 0] = np.nan
    path = tmp_path / "mine.npy"
    np.save(path, values)
    return path


def same(first, second):
    assert first.names == second.names
    assert first.units == second.units
    assert first.grid == second.grid
    assert first.boundary == second.boundary
    assert torch.equal(first.fields, second.fields)
    np.testing.assert_allclose(first.times, second.times)


def test_the_result_holds_what_was_read_and_lists_what_was_dropped(source, tmp_path):
    conversion = Conversion(source, tmp_path / "out", **SAID)
    record = conversion.run()
    before, after = open_trajectories(source, **SAID), open_trajectories(tmp_path / "out")
    kept = [0, 1, 3, 5, 6]
    assert len(after) == len(kept)
    for index, found in zip(kept, after, strict=True):
        same(found, before[index])
    assert [(entry["index"], entry["reason"]) for entry in record["dropped"]] == [
        (2, "zero everywhere from frame 4 on"),
        (4, "not finite from frame 3 on"),
    ]
    values = torch.stack([before[i].fields[:, 0] for i in kept]).double()
    found = record["statistics"]["velocity_x"]
    assert found["mean"] == pytest.approx(float(values.mean()))
    assert found["std"] == pytest.approx(float(values.std(unbiased=False)))
    verify_manifest(tmp_path / "out")
    assert not (tmp_path / "out" / convert.NOTES).exists()


def test_files_are_plain_float32_in_the_wells_layout_with_its_statistics(source, tmp_path):
    Conversion(source, tmp_path / "out", **SAID).run()
    (path,) = (tmp_path / "out" / "data" / "train").glob("*.hdf5")
    with h5py.File(path) as file:
        data = file["t1_fields/velocity"]
        assert (data.dtype, data.chunks, data.compression) == (np.float32, None, None)
        assert file.attrs["n_trajectories"] == 5
    stats = yaml.safe_load((tmp_path / "out" / "stats.yaml").read_text())
    assert sorted(stats) == ["mean", "mean_delta", "rms", "rms_delta", "std", "std_delta"]
    fields = torch.stack([t.fields for t in open_trajectories(path)]).double()
    steps = fields.diff(dim=1)
    for channel in range(2):
        assert stats["mean"]["velocity"][channel] == pytest.approx(
            float(fields[:, :, channel].mean())
        )
        rms = float(steps[:, :, channel].pow(2).mean().sqrt())
        assert stats["rms_delta"]["velocity"][channel] == pytest.approx(rms)


def test_a_killed_conversion_goes_on_with_the_next_file(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    options = SAID | {"file_bytes": 2 * 6 * 8 * 12 * 2 * 4}
    written = []

    def write(path, *arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        return write_well(path, *arguments)

    monkeypatch.setattr(convert, "write_well", write)
    with pytest.raises(KeyboardInterrupt):
        Conversion(source, out, **options).run()
    first = {path: path.read_bytes() for path in written}
    assert not (out / "manifest.json").exists()
    monkeypatch.undo()
    again = Conversion(source, out, **options)
    assert again.num_done == 4
    seen = []
    again.run(seen.append)
    assert sum(seen) == 3
    assert {path: path.read_bytes() for path in written} == first
    whole = tmp_path / "whole"
    Conversion(source, whole, **options).run()
    assert (whole / "manifest.json").read_bytes() == (out / "manifest.json").read_bytes()


def test_splits_and_mixed_resolutions_stay_apart(tmp_path, make_trajectory):
    folder = tmp_path / "given"
    for split, sizes in {"train": (4, 6), "valid": (4,)}.items():
        for number, frames in enumerate(sizes):
            (folder / split).mkdir(parents=True, exist_ok=True)
            path = folder / split / f"{number}.hdf5"
            write_well(path, [make_trajectory(number, num_frames=frames)], "test")
    Conversion(folder, tmp_path / "out").run()
    train = open_trajectories(tmp_path / "out", split="train")
    assert [t.num_frames for t in train] == [4, 6]
    assert len(open_trajectories(tmp_path / "out", split="valid")) == 1
    same(train[1], open_trajectories(folder, split="train")[1])
    assert train[1].mask is not None
    assert train[1].constants is not None
    assert train[1].parameters == make_trajectory(1).parameters


def test_what_is_in_the_way_is_never_touched(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(EnvironmentFault, match=r"not empty|not a conversion"):
            Conversion(source, out, overwrite=overwrite, **SAID)
    assert (out / "thesis.tex").read_text() == "years of work"


def test_a_complete_folder_is_replaced_only_when_told(source, tmp_path):
    out = tmp_path / "out"
    Conversion(source, out, **SAID).run()
    with pytest.raises(EnvironmentFault, match="is complete"):
        Conversion(source, out, **SAID)
    Conversion(source, out, overwrite=True, **(SAID | {"dt": 2.0})).run()
    assert open_trajectories(out)[0].dt == pytest.approx(2.0)


def test_an_unfinished_conversion_of_other_data_is_not_continued(source, tmp_path):
    out = tmp_path / "out"
    Conversion(source, out, **SAID)
    with pytest.raises(RecipeError, match="unfinished conversion of other data: description"):
        Conversion(source, out, **(SAID | {"dt": 2.0}))


def test_nothing_usable_is_an_error_that_leaves_no_data(tmp_path):
    np.save(tmp_path / "bad.npy", np.full((2, 4, 8, 8), np.nan))
    conversion = Conversion(tmp_path / "bad.npy", tmp_path / "out", axes="N T X Y")
    with pytest.raises(DataError, match=r"no trajectory is usable.*not finite from frame 0"):
        conversion.run()
    assert not (tmp_path / "out" / "data").exists()
    kept = Conversion(
        tmp_path / "bad.npy", tmp_path / "all", axes="N T X Y", keep_unusable=True
    ).run()
    assert json.loads((tmp_path / "all" / convert.RECORD).read_text())["dropped"] == []
    assert len(kept["files"]) == 1
