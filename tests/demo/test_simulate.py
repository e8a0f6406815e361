"""What a run of the page computes and draws, without a page."""

import json
from typing import Any

import pytest
import torch

from pdefm.demo.choices import find_choices, free_parameters, ordered_families, why_not
from pdefm.demo.pictures import error_curve, side_by_side, spectrum
from pdefm.demo.simulate import Run, run_equation, run_file
from pdefm.errors import DataError, ModelError, RecipeError
from pdefm.pdes import PDES
from tests.hub.folders import make_adapter

AXES: dict[str, Any] = {"axes": "N T C X Y", "names": "velocity_x,velocity_y"}


@pytest.fixture
def choice(model_folder):
    return find_choices([str(model_folder)], [])["tiny-flow"]


def run_burgers(choice, seed=1, **parameters) -> Run:
    return run_equation(choice, choice.load(), "burgers", parameters, seed, 4)


def test_equations_that_the_model_knows_come_first_and_others_say_why_not(choice):
    offered = ordered_families(choice)
    assert {name for _, name in offered} == set(PDES)
    assert offered[0] == ("burgers", "burgers")
    fits = [not why_not(choice, name) for _, name in offered]
    assert fits == sorted(fits, reverse=True)
    labels = dict((name, label) for label, name in offered)
    assert labels["allen_cahn"] == "allen_cahn: needs phase, unknown to the model"
    assert "steady" in labels["poisson"]
    assert labels["korteweg_de_vries"].endswith("has 1 space axes, the model 2")


def test_without_any_model_it_says_what_makes_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PDEFM_HOME", str(tmp_path))
    monkeypatch.setattr("pdefm.demo.choices.list_models", lambda: [])
    with pytest.raises(ModelError, match="pdefm publish"):
        find_choices([], [])


def test_an_adapter_that_does_not_forecast_is_refused(model_folder, tmp_path):
    adapter = make_adapter(tmp_path / "adapter")
    changes = {"task": "inverse", "tuner_options": {}, "added_fields": {}}
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelError, match="does not forecast"):
        find_choices([str(model_folder)], [str(adapter)])


def test_there_is_a_box_for_every_free_parameter():
    assert max(len(free_parameters(name)) for name in PDES) <= 6  # MAX_PARAMETERS of the page
    for name in PDES:
        for low, high, middle in free_parameters(name).values():
            assert low <= middle <= high


def test_the_solver_makes_the_history_and_the_truth_of_the_predicted_steps(choice):
    run = run_burgers(choice, viscosity=0.01)
    assert run.truth.parameters["viscosity"] == pytest.approx(0.01)
    assert run.truth.num_frames == 3 + run.num_steps == 7
    assert torch.equal(run.future.times, run.truth.times[-4:])
    torch.testing.assert_close(run.prediction.times, run.future.times)
    error = run.prediction.fields[-1, 0] - run.future.fields[-1, 0]
    expected = float(error.norm() / run.future.fields[-1, 0].norm())
    assert run.errors["velocity_x"][-1] == pytest.approx(expected, rel=1e-4)
    assert "with one thread" in run.speed()


def test_the_seed_decides_the_initial_state(choice):
    first, again, other = (run_burgers(choice, seed).truth.fields for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("family", "parameters", "seed", "steps", "sentence"),
    [
        ("allen_cahn", {}, 0, 4, "allen_cahn needs phase"),
        ("burgers", {"viscosity": 9.0}, 0, 4, "viscosity must be 0.005 to 0.02"),
        ("burgers", {"viscosity": None}, 0, 4, "viscosity must be"),
        ("burgers", {}, None, 4, "seed must not be negative"),
        ("burgers", {}, 0, 1000, "steps must be 1 to 100"),
    ],
)
def test_what_cannot_be_run_is_said_in_a_sentence(
    choice, family, parameters, seed, steps, sentence
):
    with pytest.raises(RecipeError, match=sentence):
        run_equation(choice, choice.load(), family, parameters, seed, steps)


def test_a_file_is_continued_as_far_as_it_goes(choice, good_file):
    run = run_file(choice, choice.load(), good_file, 9, **AXES)
    assert run.num_steps == 3
    assert "the file ends after 3 steps" in run.notes
    assert "no solver to compare with" in run.speed()


def test_bad_files_get_the_sentence_of_reader_and_doctor(choice, bad_file, broken_file):
    with pytest.raises(DataError, match="no known format recognises it"):
        run_file(choice, choice.load(), bad_file, 4)
    with pytest.raises(DataError, match=r"not finite|NaN"):
        run_file(choice, choice.load(), broken_file, 4, **AXES)


def test_pictures_are_drawn_for_every_step_and_field(choice):
    run = run_burgers(choice)
    for step in (1, 4):
        figure = side_by_side(run, "velocity_y", step)
        titles = [axes.get_title() for axes in figure.axes[:3]]
        assert titles[0].startswith("solver, t = ")
        assert titles[2].startswith("model - solver, relative L2")
        limits = [axes.images[0].get_clim() for axes in figure.axes[:2]]
        assert limits[0] == limits[1], "one scale for both"
        assert error_curve(run, step).axes[0].get_ylabel() == "relative L2 error"
        legend = spectrum(run, "velocity_y", step).axes[0].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["solver", "model"]
