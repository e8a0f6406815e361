import copy

import pytest

from pdefm.evaluation.summary import (
    format_number,
    losing_datasets,
    number_rows,
    protocol_sentence,
    provenance,
    summary_sentences,
)
from tests.evaluation.report_inputs import results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0312345, "0.0312"),
        (0.2, "0.200"),
        (123.456, "123"),
        (999.7, "1.00e+03"),
        (1.5e-5, "1.50e-05"),
        (0.0, "0"),
        (float("nan"), "not finite"),
        (None, "not finite"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert format_number(value) == text


def _with(own, **baselines):
    content = copy.deepcopy(results(adapter=False))
    entry = content["datasets"]["waves-test"]
    entry["metrics"]["relative_l2"] = own
    entry["baselines"] = {name: {"relative_l2": value} for name, value in baselines.items()}
    return content


def test_wins_ties_and_losses_are_all_said():
    sentences = summary_sentences(_with(0.1, persistence=0.3, base=0.10001, scratch=0.05))
    assert sentences == [
        "On waves-test, the model has a lower relative L2 error than persistence "
        "(0.100 against 0.300).",
        "On waves-test, the model has the same relative L2 error as base (0.100 against 0.100).",
        "On waves-test, the model is worse, with a higher relative L2 error than scratch "
        "(0.100 against 0.0500).",
    ]
    assert losing_datasets(_with(0.1, persistence=0.3, scratch=0.05)) == {"waves-test": ["scratch"]}


def test_a_forecast_that_blew_up_loses():
    assert losing_datasets(_with(float("nan"), persistence=0.9)) == {"waves-test": ["persistence"]}
    rows = number_rows(_with(float("nan"), persistence=0.9), "waves-test")
    assert [row.best[0] for row in rows] == [False, True]


def test_without_baselines_the_number_stands_alone():
    assert summary_sentences(_with(0.1)) == [
        "On waves-test, the model has a relative L2 error of 0.100; there is no baseline."
    ]


def test_the_protocol_is_said_in_words():
    content = results()
    assert protocol_sentence(content) == (
        "From 4 known frames, the first of them frame 0, the model predicts the next 8 frames, "
        "1 at a time, fed with its own output. How it is averaged: averaged over trajectories, "
        "steps and fields."
    )
    content["protocol"] |= {"num_steps": None}
    assert "predicts all later frames" in protocol_sentence(content)
    content["protocol"] |= {"num_steps": 1}
    assert "own output" not in protocol_sentence(content)


def test_an_ensemble_and_steps_of_each_dataset_are_said_in_the_protocol():
    found = results()
    found["protocol"] |= {"ensemble": 8, "noise": {"model": 0.02}}
    found["protocol"]["datasets"] = {"waves": {"num_steps": 4}}
    said = protocol_sentence(found)
    assert "as many of the later frames as its dataset is measured on" in said
    assert "8 times, from histories perturbed by 0.02 of each field's RMS" in said
    found["wall_time_seconds"] = {"total": 12.345, "datasets": {}}
    assert provenance(found)["wall time"] == "12.3 s"


def test_a_baseline_that_was_trained_says_what_it_is_and_how():
    content = _with(0.1, persistence=0.3, unet=0.2)
    training = {
        "role": "U-Net",
        "num_weights": 85_521,
        "num_trajectories": 32,
        "seconds": 60.04,
        "steps": 1200,
    }
    content["datasets"]["waves-test"]["baselines"]["unet"]["training"] = training
    rows = {row.label: row.role for row in number_rows(content, "waves-test")}
    assert rows["persistence"] == "the last known frame repeated"
    assert rows["unet"] == (
        "U-Net, 85,521 weights, trained on 32 trajectories for 60 s (1,200 steps)"
    )
    training["num_trajectories"] = None
    assert "trained on an endless source" in number_rows(content, "waves-test")[2].role
