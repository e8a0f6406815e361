import numpy as np
import pytest
import torch

from pdefm.errors import DataError
from pdefm.evaluation.fields import error_scale, field_scale, matching_frames, picture_values
from pdefm.evaluation.panels import comparison_panel
from pdefm.evaluation.plots import error_versus_time, line_style, loss_curves, spectra
from tests.evaluation.report_inputs import metrics_lines, per_step, wave


def test_truth_and_prediction_share_a_scale_and_errors_have_their_own():
    figure = comparison_panel(
        wave(), {"a": wave(noise=0.1), "b": wave(noise=0.3)}, "vorticity", [0, 5]
    )
    images = [axes.images[0] for axes in figure.axes if axes.images]
    limits = [image.get_clim() for image in images]
    assert len(set(limits[:6])) == 1
    assert len(set(limits[6:])) == 1
    assert limits[0] != limits[6]
    assert [image.get_cmap().name for image in images] == ["RdBu_r"] * 6 + ["PuOr_r"] * 4
    low, high = limits[6]
    assert low == -high


def test_x_points_right_and_y_points_up():
    truth = wave((8, 4), num_frames=1)
    truth.fields.zero_()
    truth.fields[0, 0, 6, 1] = 1.0
    figure = comparison_panel(truth, {"a": truth}, "vorticity", [0])
    image = figure.axes[0].images[0]
    rows, columns = np.nonzero(image.get_array())
    assert (list(rows), list(columns)) == ([1], [6])
    assert image.origin == "lower"


def test_a_positive_field_is_sequential_and_a_signed_one_symmetric():
    assert field_scale(np.array([0.5, 2.0])).cmap == "viridis"
    signed = field_scale(np.array([-1.0, 3.0, np.nan]))
    assert (signed.cmap, signed.low, signed.high) == ("RdBu_r", -3.0, 3.0)


def test_a_prediction_that_blows_up_leaves_the_scales_readable():
    scale = field_scale(np.array([-1.0, 1.0]))
    errors = error_scale([np.array([1e9, np.inf, -2e9])], scale)
    assert (errors.low, errors.high) == (-2.0, 2.0)
    assert scale.extend(np.array([0.0, 1e9])) == "max"


def test_columns_say_the_physical_time():
    figure = comparison_panel(wave(), {"a": wave()}, "vorticity", [0, 7], time_unit="s")
    assert [axes.get_title() for axes in figure.axes[:2]] == ["t = 0 s", "t = 0.7 s"]


def test_predictions_are_matched_by_time_not_by_position():
    assert matching_frames(wave(), wave(start=4, num_frames=4), [5, 7]) == [1, 3]
    with pytest.raises(DataError, match=r"no frame at time 0\.9"):
        matching_frames(wave(), wave(start=4, num_frames=4), [9])


def test_three_dimensions_show_the_central_slice_and_the_mask_is_blank():
    truth = wave((4, 6, 8), num_frames=1)
    assert np.array_equal(
        picture_values(truth, "vorticity", [0])[0], truth.fields[0, 0, :, :, 4].double().numpy()
    )
    flat = wave((4, 4), num_frames=1)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[0, 0] = False
    object.__setattr__(flat, "mask", mask)
    assert np.isnan(picture_values(flat, "vorticity", [0])).sum() == 1


@pytest.mark.parametrize("shape", [(32,), (16, 8), (8, 8, 8)])
def test_every_number_of_space_axes_can_be_drawn(shape):
    truth, prediction = wave(shape, 3), {"a": wave(shape, 3, noise=0.1)}
    for figure in (
        comparison_panel(truth, prediction, "vorticity", [0, 2]),
        spectra(truth, prediction, "vorticity", 2),
    ):
        figure.canvas.draw()


def test_an_unknown_field_is_named_with_the_known_ones():
    with pytest.raises(DataError, match="Known: vorticity"):
        comparison_panel(wave(), {"a": wave()}, "pressure", [0])


def test_persistence_is_dashed_and_every_curve_has_its_band():
    curves = {"model": per_step(0.01, 0.3, 5), "persistence": per_step(0.1, 0.5, 5)}
    axes = error_versus_time(curves, [0.1, 0.2, 0.3, 0.4, 0.5]).axes[0]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert len(axes.collections) == 2
    assert axes.get_yscale() == "log"


def test_the_spectrum_of_one_wave_is_one_peak_with_its_energy():
    x = torch.arange(32) / 32
    for shape in ((32,), (32, 32)):
        truth = wave(shape, 1)
        truth.fields[0, 0] = 2 * torch.cos(2 * torch.pi * 5 * x).reshape(
            -1, *[1] * (len(shape) - 1)
        )
        line = spectra(truth, {}, "vorticity", 0).axes[0].lines[0]
        wavenumber, energy = line.get_data()
        assert wavenumber[np.argmax(energy)] == 5
        assert energy.max() == pytest.approx(2.0, rel=1e-5)  # mean square of 2 cos


def test_the_loss_is_on_a_log_scale_above_the_learning_rate():
    figure = loss_curves(metrics_lines())
    upper, lower = figure.axes
    assert upper.get_yscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["training loss, mean of 5 lines", "validation, waves"]
    assert len(lower.lines[0].get_xdata()) == 200


def test_a_step_written_twice_counts_once_and_a_loss_that_is_not_finite_is_marked():
    lines = [
        {"step": 1, "loss": 1.0, "learning_rate": 1e-3},
        {"step": 2, "loss": 9.0, "learning_rate": 1e-3},
        {"step": 2, "loss": 0.5, "learning_rate": 1e-3},
        {"step": 3, "loss": float("nan"), "learning_rate": 1e-3},
    ]
    upper, _ = loss_curves(lines).axes
    assert list(upper.lines[0].get_ydata()) == pytest.approx([1.0, 0.5])
    assert list(upper.lines[1].get_xdata()) == [3, 3]


def test_lines_stay_apart_when_the_colours_are_used_up_and_the_truth_is_solid_black():
    styles = [line_style(f"m{i}", i) for i in range(14)]
    assert len({(each["color"], str(each["linestyle"])) for each in styles}) == 14
    truth = spectra(wave((8, 8)), {"m": wave((8, 8))}, "vorticity", 0).axes[0].lines[0]
    assert (truth.get_color(), truth.get_linestyle()) == ("#000000", "-")
