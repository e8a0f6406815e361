"""Fourier adapters: bands, translations, size."""

import pytest
import torch

from pdefm.config import section_from_dict
from pdefm.errors import RecipeError
from pdefm.models.dpot.configuration_dpot import DPOTConfig
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.models.spectral import KeptModes, to_spectrum
from pdefm.tuners.base import trainable_share
from pdefm.tuners.fourier import FourierAdapter, FourierOptions, FourierTuner, open_channels
from tests.tiny_dpot import frames, randomize, tiny_model


def test_low_frequencies_pass_more_channels_than_high_ones():
    found = open_channels(KeptModes((12, 8)), (4, 2, 1), (2, 4))
    widths = found.sum(-1).long()
    assert found.shape == (12, 5, 4)
    # wave numbers of the rows: 0 1 2 3 4 5 -6 -5 -4 -3 -2 -1
    assert widths[:, 0].tolist() == [4, 4, 2, 2, 1, 1, 1, 1, 1, 2, 2, 4]
    assert widths[0].tolist() == [4, 4, 2, 2, 1]
    assert found[2, 0].tolist() == [1, 1, 0, 0]


def adapter(**options):
    torch.manual_seed(0)
    made = FourierAdapter(torch.nn.Identity(), 6, FourierOptions(**options))
    randomize(made)
    return made


def test_a_band_is_changed_by_its_own_channels_only():
    made = adapter(widths=(3, 1), cutoffs=(2,))
    values = torch.randn(1, 8, 8, 6)
    before = made(values)
    with torch.no_grad():
        made.up[1:] += 1.0  # of the channels that high frequencies do not pass
    change = to_spectrum(made(values) - before, KeptModes((8, 8)))  # [1, 2, 8, 5, 6]
    size = change.square().sum((0, 1, 4)).sqrt()
    assert size[:2, :2].min() > 1e-2
    assert size[2:7].max() < 1e-5
    assert size[:, 2:].max() < 1e-5


def test_a_translated_input_gives_the_translated_output():
    made, values = adapter(), torch.randn(2, 12, 8, 6)
    moved = made(values.roll((3, 2), (1, 2)))
    torch.testing.assert_close(moved, made(values).roll((3, 2), (1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
def test_every_grid_will_do(size):
    model = FourierTuner(FourierOptions()).apply(tiny_model()).eval()
    randomize(model, trainable_only=True)
    prediction = model(frames(size=size)).prediction
    assert prediction.shape[-2:] == size
    assert torch.isfinite(prediction).all()


def test_the_adapter_of_the_tiny_shape_is_small():
    config = DPOTConfig(
        field_names=["a", "b", "c", "d"], patch_size=8, hidden_size=512, num_hidden_layers=4,
        num_attention_heads=4, patch_feature_size=35, decoder_size=32, history=10,
    )  # fmt: skip
    tuner = FourierTuner(FourierOptions())
    model = tuner.apply(DPOTModel(config))
    trained, total = trainable_share(model)
    assert sum(t.numel() * t.element_size() for t in tuner.state(model).values()) < 2 * 2**20
    assert trained < 0.05 * total


@pytest.mark.parametrize(
    "options",
    [
        {"widths": [2, 4], "cutoffs": [4]},
        {"widths": [4, 2], "cutoffs": []},
        {"widths": [4, 2, 1], "cutoffs": [4, 4]},
        {"widths": [0]},
    ],
)
def test_bands_that_make_no_sense_are_refused(options):
    with pytest.raises(RecipeError, match=r"widths|cutoffs"):
        section_from_dict(FourierOptions, options, "tuner_options")
