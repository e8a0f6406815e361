"""Energy at the scale of the grid."""

import torch

from pdefm.data.checks.spectrum import top_share
from pdefm.data.collection import MemoryCollection
from tests.data.checks.planting import change, clean, findings, with_walls


def noise(fields):
    random = torch.Generator().manual_seed(0)
    return fields + 0.6 * torch.randn(fields.shape, generator=random)


def test_noise_at_the_grid_scale_is_found():
    data = clean(channels=1)
    for index in range(4):
        data = change(data, index, noise)
    found = findings(data)
    assert [f.code for f in found] == ["under_resolved"]
    assert found[0].place.field == "density"


def test_a_first_frame_of_noise_is_found():
    def spoil(fields):
        fields[0] = torch.randn(fields[0].shape, generator=torch.Generator().manual_seed(1))

    found = findings(change(clean(channels=1), 1, spoil))
    assert [(f.code, f.place.trajectory) for f in found] == [("noisy_start", 1)]


def test_a_ramp_between_walls_is_resolved():
    ramp = torch.linspace(0, 1, 32)[None, :, None].expand(1, 32, 24)
    assert float(top_share(ramp, [False, False])) < 1e-3
    assert float(top_share(ramp, [True, True])) > 0.01
    data = [with_walls(trajectory) for trajectory in clean()]
    assert "under_resolved" not in [f.code for f in findings(MemoryCollection(data))]


def test_white_noise_has_about_a_third_and_a_wave_nothing():
    random = torch.Generator().manual_seed(0)
    white = torch.randn(3, 64, 64, generator=random, dtype=torch.float64)
    assert ((top_share(white, [True, True]) - 0.34).abs() < 0.04).all()
    wave = torch.sin(2 * torch.pi * torch.arange(64) / 64).expand(1, 64, 64).double()
    assert float(top_share(wave, [True, True])) < 1e-12
    assert float(top_share(torch.full((1, 64), 5.0), [True])) == 0.0
