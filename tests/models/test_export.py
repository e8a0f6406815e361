"""Exported files compute what the model computes, on grids that nobody traced."""

import importlib.util
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from pdefm.data.trajectory import uniform_boundary
from pdefm.domain import BoundaryCondition
from pdefm.errors import EnvironmentFault, ModelError
from pdefm.models import spectral
from pdefm.models.export import export_model
from pdefm.models.export_graph import refuse_complex
from pdefm.models.mixers import MIXERS
from tests.tiny_dpot import tiny_model, tiny_processor

SLOW_CASES = ["everything", "published", "modulus", "one axis", "three axes"]
WITHOUT_PDEFM = """
import sys
sys.modules["pdefm"] = None  # importing it would fail
import torch
files = {"pdefm.json": ""}
program = torch.export.load(sys.argv[1], extra_files=files)
print(list(program.module()(torch.ones(2, 3, 2, 12, 20)).shape))
try:
    program.module()(torch.ones(2, 3, 2, 14, 20))
except (AssertionError, RuntimeError):
    print("refused")
"""


def run(*command, cwd=None):
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def export_and_compare(case, folder):
    """In a fresh process, where no shape checks of the tests stand in the way."""
    return json.loads(run("-m", "tests.models.export_worker", case, folder).splitlines()[-1])


def assert_equal_to_eager(found, num_grids):
    assert len(found["differences"]) == 2 * num_grids
    assert all(difference < 1e-4 for difference in found["differences"].values()), found
    assert found["complex"] == []
    assert found["unchanged"]


@pytest.mark.slow
def test_a_default_model_runs_elsewhere_on_grids_that_were_not_traced(tmp_path):
    found = export_and_compare("default", tmp_path)
    assert_equal_to_eager(found, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.pt2"]
    assert b"modeling_dpot.py" not in (tmp_path / "model.onnx").read_bytes()
    assert b"modeling_dpot.py" not in (tmp_path / "model.pt2").read_bytes()


@pytest.mark.slow
def test_a_program_runs_without_pdefm_and_refuses_half_a_patch(tmp_path):
    export_and_compare("published", tmp_path)
    output = run("-c", WITHOUT_PDEFM, tmp_path / "model.pt2", cwd=tmp_path)
    assert output.splitlines() == ["[2, 1, 2, 12, 20]", "refused"]


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW_CASES)
def test_every_variant_runs_elsewhere_on_grids_that_were_not_traced(case, tmp_path):
    found = export_and_compare(case, tmp_path)
    assert_equal_to_eager(found, 4 if case.endswith(("axis", "axes")) else 5)
    assert set(found["facts"]["min_resolution"]) == {8}
    if case == "everything":
        assert found["axes"] == ["history", "mask", "dt", "viscosity", "alpha"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MIXERS))
def test_every_mixer_can_be_exported_and_tells_its_smallest_grid(name, tmp_path):
    found = export_and_compare(f"mixer {name}", tmp_path)
    smallest = found["facts"]["min_resolution"]
    assert max(smallest) <= 20  # 2 num_modes - 1 patches
    assert_equal_to_eager(found, sum(max(smallest) <= size for size in (28, 16, 24, 8, 264)))


def test_a_fixed_grid_boundary_and_field_with_the_weights_in_a_file_of_their_own(tmp_path):
    found = export_and_compare("fixed", tmp_path)
    assert_equal_to_eager(found, 2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model.onnx", "model.onnx.data", "model.pt2"]
    facts = found["facts"]
    assert facts["fields"] == {"pressure": {"unit": "u1", "mean": 0.5, "std": 2.0}}
    assert facts["boundary"] == [["wall", "wall"], ["wall", "wall"]]
    assert (facts["history"], facts["resolution"]) == (2, [16, 24])
    assert facts["normalization"] == "field"


@pytest.mark.parametrize("truncation", ["symmetric", "one_sided"])
@pytest.mark.parametrize("latent", [(7,), (9, 8), (5, 4), (4, 5), (2, 3), (3, 2, 4), (2, 7, 2)])
def test_frequencies_that_an_open_grid_does_not_have_add_nothing(latent, truncation, monkeypatch):
    model = tiny_model(
        num_modes=4, last_axis_modes=3, mode_truncation=truncation, spectral_output_bias=True
    )
    mixer = model.layers[0].mixer
    values = torch.randn(2, *latent, 16)
    expected = mixer(values)
    kept = spectral.KeptModes(latent, 4, 3, truncation)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # stores no matrix
    monkeypatch.setattr(spectral, "statically_known_true", lambda condition: False)
    rows = 7 if truncation == "symmetric" else 4
    sizes = (*[rows] * (len(latent) - 1), 3)
    assert spectral.to_spectrum(values, kept, "fft").shape == (2, 2, *sizes, 16)
    torch.testing.assert_close(mixer(values), expected)


def test_complex_numbers_are_refused():
    class Complex(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).real

    program = torch.export.export(Complex(), (torch.ones(4),))
    with pytest.raises(ModelError, match="'wavelet' computes with complex numbers"):
        refuse_complex(program, "wavelet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "onx"}, "unknown export format.*onnx"),
        ({"format": "torch"}, r"files that end in \.pt2"),
        ({"field_names": ["densty"]}, "density"),
        ({"history": 4}, "1 to 3 frames"),
        ({"resolution": (16, 18)}, "multiples of the patch size 4"),
        ({"resolution": (16,)}, "2 multiples"),
        ({"conditions": ["tt"]}, "no such condition.*'tt'"),
        ({"conditions": ["boundary"]}, "boundary="),
        ({"boundary": uniform_boundary(BoundaryCondition.WALL, 3)}, "each of 2 axes"),
        ({"processor": tiny_processor(("density",)), "conditions": []}, "unknown field.*pressure"),
        ({"processor": tiny_processor()}, "no statistics of a condition.*dt"),
    ],
)
def test_what_the_model_does_not_know_is_refused_in_one_line(options, message, tmp_path):
    model = tiny_model(conditions=["dt", "boundary"])
    with pytest.raises(ModelError, match=message):
        model.export(tmp_path / "model.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_boundary_for_a_model_that_does_not_look_at_it_is_refused(tmp_path):
    walls = uniform_boundary(BoundaryCondition.WALL, 2)
    with pytest.raises(ModelError, match="does not look at boundaries"):
        tiny_model().export(tmp_path / "model.onnx", boundary=walls)


def test_half_precision_and_other_modules_are_refused(tmp_path):
    with pytest.raises(ModelError, match="float32: got bfloat16"):
        tiny_model().bfloat16().export(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="merge_and_unload"):
        export_model(nn.Linear(2, 2), tmp_path / "model.onnx")


def test_missing_packages_are_named_with_the_line_to_run(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(EnvironmentFault, match=r"onnxscript.*pip install 'pdefm\[export\]'"):
        tiny_model().export(tmp_path / "model.onnx")


def test_a_failed_export_leaves_the_model_as_it_was(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("cannot\nbe traced")

    monkeypatch.setattr(torch.export, "export", fail)
    model = tiny_model().train()
    with pytest.raises(ModelError, match=r"mixer 'afno'.*cannot\. Fix the grid with resolution="):
        model.export(tmp_path / "model.onnx")
    assert all(module.training for module in model.modules())
    assert model.layers[0].mixer.transform == "auto"
    assert "_position" not in vars(model.time_aggregation)
    assert list(tmp_path.iterdir()) == []
