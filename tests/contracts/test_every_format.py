"""Every format of the table keeps the contract, and no file in the folder is forgotten."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

import pdefm
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.description import Description
from pdefm.data.formats import FORMATS
from pdefm.data.formats.well_writer import write_well
from pdefm.data.open import open_trajectories
from pdefm.data.trajectory import Trajectory
from pdefm.domain import Grid
from tests.data.formats.write_cfdbench import write_cfdbench
from tests.data.formats.write_condiff import write_condiff
from tests.data.formats.write_dpot import write_dpot
from tests.data.formats.write_fno_mat import write_fno_mat
from tests.data.formats.write_pdearena import write_pdearena_smoke
from tests.data.formats.write_pdebench import write_pdebench_gas
from tests.data.formats.write_poseidon import write_poseidon

PACKAGE = Path(pdefm.__file__).parent


def save_well(path: Path) -> Path:
    trajectory = Trajectory(
        torch.randn(3, 1, 8, 8), ("a",), Grid.regular((8, 8)), torch.arange(3.0)
    )
    return write_well(path, [trajectory], "sample")


def save_array(path: Path) -> Path:
    np.save(path, np.random.default_rng(0).normal(size=(3, 8, 8)))
    return path


@dataclass(frozen=True)
class Sample:
    """How a small file of the format is written, and what comes out of it."""

    save: Callable[[Path], Path | str]
    suffix: str
    options: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, ...] = (3, 1, 8, 8)


def save_hub(path: Path) -> str:
    """A dataset in the Hub's cache, as it is kept for work without a network."""
    commit = "0" * 40
    cached = path.parent / "hub" / "datasets--me--sample"
    save_well(cached / "snapshots" / commit / "data" / "train" / "a.hdf5")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    return "hf://datasets/me/sample/data/train/a.hdf5"


PDE_URI = "pde://allen_cahn?resolution=8&num_frames=3&num_trajectories=2"

# A new format adds a line.
SAMPLES = {
    "well": Sample(save_well, ".hdf5"),
    "pdebench": Sample(write_pdebench_gas, ".hdf5", shape=(3, 4, 8, 8)),
    "pdearena": Sample(write_pdearena_smoke, ".h5", shape=(3, 3, 8, 8)),
    "poseidon": Sample(write_poseidon, ".nc", shape=(21, 3, 8, 8)),
    "cfdbench": Sample(write_cfdbench, "", shape=(3, 2, 8, 8)),
    "condiff": Sample(write_condiff, ".h5", shape=(1, 1, 8, 8)),
    "fno_mat": Sample(write_fno_mat, ".mat"),
    "dpot": Sample(write_dpot, ".hdf5"),
    "pde": Sample(lambda _: PDE_URI, ""),
    "hub": Sample(save_hub, ""),
    "arrays": Sample(save_array, ".npy", {"axes": "T X Y"}),
}


@pytest.fixture
def samples(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return {
        name: sample.save(tmp_path / f"sample_{name}{sample.suffix}")
        for name, sample in SAMPLES.items()
    }


def test_every_format_has_a_sample_here():
    assert set(SAMPLES) == set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_is_a_documented_collection(name):
    kind = FORMATS[name]
    assert issubclass(kind, TrajectoryCollection)
    assert kind.format == name
    assert len(inspect.getdoc(kind) or "") > 40
    assert kind.suffixes or kind.scheme
    assert all(suffix.startswith(".") for suffix in kind.suffixes)


def recognises(name, path):
    kind = FORMATS[name]
    fits = kind.scheme if isinstance(path, str) else path.is_file() or kind.folders
    return fits and kind.recognise(path)


def test_each_sample_is_recognised_as_what_it_is_whatever_its_name(samples, tmp_path):
    nonsense = {"empty": b"", "text": b"hello, world\n" * 50}
    for other, content in nonsense.items():
        samples[other] = tmp_path / other
        samples[other].write_bytes(content)
    for other, path in samples.items():
        elsewhere = isinstance(path, str)  # a place that is no path on disk
        neutral = path if elsewhere else path.rename(tmp_path / f"no_suffix_{other}")
        first = next((n for n in FORMATS if recognises(n, neutral)), None)
        assert first == (other if other in FORMATS else None), other


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_opens_by_itself_and_by_name(name, samples):
    options, shape = SAMPLES[name].options, SAMPLES[name].shape
    for format in ("auto", name):
        collection = open_trajectories(samples[name], format=format, **options)
        assert collection.format == name
        assert tuple(collection[0].fields.shape) == shape
        assert bool(collection.reason) == (format == "auto")
        assert collection[0].source.name == str(samples[name])
    direct = FORMATS[name](samples[name], Description.from_options(**options))
    last = direct.num_frames(0)
    assert direct.read(0, last - 1, last).num_frames == 1


def test_no_file_in_the_folder_is_forgotten():
    own = {FORMATS.targets[name].partition(":")[0] for name in FORMATS}
    imported: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
    folder = PACKAGE / "data" / "formats"
    modules = {f"pdefm.data.formats.{path.stem}": path for path in folder.glob("[!_]*.py")}
    assert sorted(set(modules) - own - imported) == []
    readers = {
        module
        for module, path in modules.items()
        if "def recognise(" in (text := path.read_text(encoding="utf-8"))
        and "@abstractmethod" not in text  # a base of formats
    }
    assert sorted(readers - own) == []
