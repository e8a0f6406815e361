"""Seeded samples: reproducible, independent of each other, and redrawn when useless."""

import subprocess
import sys

import pytest
import torch

from pdefm.data.generate import generate
from pdefm.data.open import open_trajectories
from pdefm.errors import NumericalError, RecipeError
from pdefm.pdes import PDES
from pdefm.pdes.initial_states import random_periodic_field
from pdefm.pdes.sample import MAX_ATTEMPTS, solve_samples, unusable_reason

SMALL = {"resolution": 16, "num_frames": 4}


def mixed_gray_scott():
    """Where some reactions go out."""
    return PDES["gray_scott"](parameter_ranges={"kill": (0.05, 0.08)}, dt=60.0)


def test_the_same_seed_gives_the_same_bits_and_others_differ():
    pde = PDES["burgers"]()
    first = solve_samples(pde, 3, seed=7, **SMALL)
    again = solve_samples(PDES["burgers"](), 3, seed=7, **SMALL)
    other = solve_samples(pde, 3, seed=8, **SMALL)
    assert torch.equal(first.fields, again.fields)
    assert torch.equal(first.parameters["viscosity"], again.parameters["viscosity"])
    # Independent draws differ by about as much as they are large.
    scale = float(first.fields.square().mean().sqrt())
    for one, two in ((first.fields, other.fields), (first.fields[0], first.fields[1])):
        assert 0.5 * scale < float((one - two).square().mean().sqrt()) < 3 * scale


def test_a_sample_depends_on_its_index_only_not_on_count_order_or_batch():
    pde = PDES["allen_cahn"]()
    whole = solve_samples(pde, 5, seed=1, micro_batch=5, **SMALL)
    part = solve_samples(pde, 2, seed=1, first_index=3, micro_batch=1, **SMALL)
    assert torch.equal(whole.fields[3:], part.fields)


def test_another_process_draws_the_same_sample():
    code = (
        "from pdefm.pdes import PDES; from pdefm.pdes.sample import solve_samples;"
        "s = solve_samples(PDES['allen_cahn'](), 1, resolution=16, num_frames=4, seed=3);"
        "print(float(s.fields.double().sum()).hex())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    here = solve_samples(PDES["allen_cahn"](), 1, seed=3, **SMALL)
    assert output.stdout.strip() == float(here.fields.double().sum()).hex()


def test_a_reaction_that_goes_out_is_redrawn_and_recorded_whatever_the_batching():
    solution = solve_samples(mixed_gray_scott(), 4, seed=0, **SMALL)
    assert solution.rejections
    assert solution.rejections == tuple(sorted(solution.rejections, key=lambda r: r.index))
    assert solution.rejections[0].attempt == 0
    assert "faded" in solution.rejections[0].reason
    alone = solve_samples(mixed_gray_scott(), 4, seed=0, micro_batch=1, **SMALL)
    assert torch.equal(alone.fields, solution.fields)
    assert alone.rejections == solution.rejections


def test_a_family_that_cannot_be_solved_ends_with_its_name_seed_and_index():
    pde = PDES["burgers"](dt=1e6)
    with pytest.raises(
        NumericalError, match=f"burgers: sample 2 of seed 5 .* {MAX_ATTEMPTS} times"
    ):
        solve_samples(pde, 1, seed=5, first_index=2, **SMALL)


def test_progress_counts_every_finished_sample_once():
    finished = []
    pde = mixed_gray_scott()
    solve_samples(pde, 5, seed=0, micro_batch=2, progress=finished.append, **SMALL)
    assert sum(finished) == 5


def test_a_solution_carries_its_description():
    solution = solve_samples(PDES["burgers"](), 2, seed=0, dtype=torch.float64, **SMALL)
    assert solution.fields.dtype == torch.float64
    assert solution.times.tolist() == pytest.approx([0.0, 0.05, 0.1, 0.15])
    assert solution.parameters["viscosity"].shape == (2,)
    assert solution.grid.shape == (16, 16)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"num_frames": 0}, {"micro_batch": 0}])
def test_a_number_out_of_range_is_refused(wrong):
    with pytest.raises(RecipeError, match=f"{next(iter(wrong))} must be at least"):
        solve_samples(PDES["burgers"](), 1, **{"seed": 0, **SMALL, **wrong})


def test_denormals_are_left_as_they_were():
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    solve_samples(PDES["allen_cahn"](), 1, seed=0, **SMALL)
    assert float(tiny * 1.0) != 0.0


def test_reasons_to_reject():
    moving = torch.arange(3.0)[:, None, None] + torch.arange(16.0)
    assert unusable_reason(moving) == ""
    assert unusable_reason(moving * float("nan")) == "became non-finite"
    assert "exploded" in unusable_reason(moving * torch.tensor([1.0, 1.0, 1e4])[:, None, None])
    assert "frozen" in unusable_reason(moving[:1].expand(3, -1, -1))
    assert "faded" in unusable_reason(moving * torch.tensor([1.0, 0.1, 1e-5])[:, None, None])
    assert unusable_reason(moving[:1]) == ""


def test_one_dead_channel_of_two_is_enough_to_reject():
    moving = torch.arange(3.0)[:, None, None] + torch.arange(16.0)
    assert "frozen" in unusable_reason(torch.cat((moving, moving[:1].expand(3, -1, -1)), dim=1))


class Channel(PDES["allen_cahn"]):
    """Reaction in a part of the box, with coefficient fields of every kind."""

    def coefficients(self, parameters, grid, rng):
        speed = 1 + random_periodic_field(grid, rng, peak_mode=2.0)
        return {"speed": speed, "mask": speed > 1, "largest_speed": speed.max()}

    def initial_state(self, parameters, grid, rng):
        assert parameters["speed"].shape == grid.shape
        return super().initial_state(parameters, grid, rng) * parameters["mask"]


def test_coefficients_are_stored_as_constants_mask_and_measured_parameters():
    solution = solve_samples(Channel(), 3, seed=0, **SMALL)
    assert set(solution.constants) == {"speed"}
    assert solution.constants["speed"].dtype == solution.fields.dtype == torch.float32
    assert torch.equal(solution.mask, solution.constants["speed"] > 1)
    assert set(solution.parameters) == {"interface_energy", "largest_speed"}
    largest = solution.constants["speed"].flatten(1).amax(1).double()
    torch.testing.assert_close(solution.parameters["largest_speed"], largest)
    # Three draws: three media.
    assert len(solution.constants["speed"].flatten(1).unique(dim=0)) == 3


def test_a_file_of_samples_holds_their_constants(tmp_path):
    settings = {"num_trajectories": 2, "seed": 0, "out": tmp_path, **SMALL}
    trajectory = open_trajectories(generate("acoustic_wave", **settings))[1]
    expected = solve_samples(PDES["acoustic_wave"](), 2, seed=0, **SMALL)
    assert trajectory.constant_names == ("wave_speed",)
    assert torch.equal(trajectory.constants[0], expected.constants["wave_speed"][1])
    assert torch.equal(trajectory.fields, expected.fields[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", sorted(PDES))
def test_a_gpu_gives_the_same_samples_up_to_rounding(family):
    settings = SMALL | ({"num_frames": 1} if PDES[family].steady else {})
    there = solve_samples(PDES[family](), 2, seed=0, device="cuda", dtype=torch.float64, **settings)
    here = solve_samples(PDES[family](), 2, seed=0, dtype=torch.float64, **settings)
    torch.testing.assert_close(there.fields, here.fields, rtol=1e-9, atol=1e-9)
