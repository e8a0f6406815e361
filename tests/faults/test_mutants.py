"""Damaged files give numbers or a typed error, never a crash, a hang or another exception."""

import sys

import pytest

from pdefm.data.open import open_trajectories
from tests.faults.fuzz import fuzz
from tests.faults.mutants import SAMPLES, options_of, write_samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, names in SAMPLES.items() for n in names])
def test_the_good_files_open(samples, kind, name):
    collection = open_trajectories(samples / kind / name, **options_of(name))
    assert tuple(collection[0].fields.shape) == (4, 2, 16, 16)


@pytest.mark.parametrize("kind", SAMPLES)
def test_damaged_files_are_read_or_refused(samples, kind):
    outcome = fuzz(kind, 25, 0, samples)
    assert outcome.failures == []
    assert outcome.counts.total() == 25
    assert outcome.counts["probe"] > 0


READER = """
import json, os, sys, time
for number in range(int(sys.argv[4]), int(sys.argv[5])):
    print(json.dumps({"begin": number}), flush=True)
    if number == 2:
        os.abort()
    if number == 4:
        time.sleep(600)
    outcome = "escaped" if number == 3 else "read"
    print(json.dumps({"end": number, "outcome": outcome, "message": "what"}), flush=True)
"""


def test_a_crash_a_hang_and_an_escape_of_the_reader_are_seen(samples):
    outcome = fuzz("h5", 7, 0, samples, 3.0, (sys.executable, "-c", READER))
    assert outcome.counts == {"read": 4, "crashed": 1, "escaped": 1, "hung": 1}
    assert [failure.split(":")[0] for failure in outcome.failures] == [
        "h5 seed 0 number 2 crashed",
        "h5 seed 0 number 3",
        "h5 seed 0 number 4 hung",
    ]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_thousand_damaged_files_are_read_or_refused(samples, kind):
    outcome = fuzz(kind, 1000, 1, samples)
    assert outcome.failures == []
    assert outcome.counts.total() == 1000
