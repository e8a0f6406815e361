"""Two processes that exchange gradients over gloo compute what one computes."""

import pytest
import torch

from tests.tiny import tiny_recipe
from tests.train.runs import start, training_lines, validations, weights, write_recipe

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
LAUNCH = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m")


def test_two_processes_killed_and_resumed_equal_one(tmp_path, tiny_run):
    recipe = write_recipe(tmp_path / "recipe.yaml", tiny_recipe(tiny_run.sources))
    out = tmp_path / "run"
    killed = start(*LAUNCH, "tests.train.killed_worker", recipe, out, 6, "train", **ENVIRONMENT)
    assert killed.returncode != 0
    assert [line["step"] for line in training_lines(out)] == [1, 2, 3, 4, 5]
    done = start(*LAUNCH, "pdefm", "pretrain", recipe, "--out", out, **ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("12 steps") == 1, "only the main process prints"
    pairs = zip(training_lines(out), training_lines(tiny_run.folder), strict=True)
    for two, one in pairs:
        assert two["step"] == one["step"]
        assert two["shares"] == one["shares"]
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert two["source_losses"] == pytest.approx(one["source_losses"], rel=1e-5)
    assert validations(out)[-1][1] == pytest.approx(tiny_run.summary["validation"], rel=1e-4)
    expected = weights(tiny_run.folder, 12)
    torch.testing.assert_close(weights(out, 12), expected, rtol=1e-3, atol=1e-4)
