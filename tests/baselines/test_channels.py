"""Grids that become larger, and forecasts that stay finite."""

import torch

from pdefm.baselines.channels import Bounded, Forecast, extended


def test_periodic_axes_go_on_and_open_ones_repeat_their_end():
    fields = torch.arange(12.0).view(1, 1, 3, 4)
    larger = extended(fields, (2, 3), (True, False))
    assert larger.shape == (1, 1, 5, 7)
    assert larger[0, 0, :, 1].tolist() == [8, 0, 4, 8, 0]
    assert larger[0, 0, 1].tolist() == [0, 0, 1, 2, 3, 3, 3]


def test_nothing_added_is_the_same_tensor():
    fields = torch.ones(1, 1, 3, 4)
    assert extended(fields, (0, 0), (True, False)) is fields


def test_more_points_than_there_are_go_round_again():
    line = torch.arange(3.0).view(1, 1, 3)
    assert extended(line, (8,), (True,))[0, 0].tolist() == [2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


class Echo(torch.nn.Module):
    def forward(self, history):
        return Forecast(history)


def test_what_diverges_is_held_and_the_rest_is_left_alone():
    values = torch.tensor([1.5, -2.0, 1e9, float("inf"), float("-inf"), float("nan")])
    held = Bounded(Echo(), limit=100.0)(history=values).prediction
    assert held.tolist() == [1.5, -2.0, 100.0, 100.0, -100.0, 100.0]
