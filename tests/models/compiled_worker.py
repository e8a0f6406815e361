"""Eager and compiled models side by side: python -m tests.models.compiled_worker BACKEND."""

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from pdefm.models.dpot.modeling_dpot import DPOTModel
from tests.tiny_dpot import frames, tiny_model

ROLLOUT_STEPS = 20
CASES = {
    "default": {},
    "everything": {
        "mask_channel": True,
        "conditions": ["dt"],
        "instance_normalization": True,
        "num_modes": 2,
        "coordinate_encoding": "fourier",
        "spectral_nonlinearity": "modulus",
    },
}


def roll_out(predict: Callable[[Tensor], Tensor], history: Tensor) -> Tensor:
    """The last frames after 20 steps."""
    for _ in range(ROLLOUT_STEPS):
        history = torch.cat([history[:, 1:], predict(history)], 1)
    return history


def small_steps(**changes) -> DPOTModel:
    """A model whose rollout moves, but does not explode."""
    model = tiny_model(**changes)
    with torch.no_grad():
        model.decoder.field_weight.mul_(0.1)
        model.decoder.field_bias.zero_()
    return model


def compare(backend: str, **changes) -> dict[str, float]:
    """Largest differences between eager and compiled, relative to the largest value."""
    mask = torch.ones(2, 16, 16, dtype=torch.bool)
    mask[:, :4] = False
    model = small_steps(**changes)
    inputs = {"mask": mask, "dt": torch.ones(2)}
    ends, gradients = [], []
    for run in (model, torch.compile(model, fullgraph=True, backend=backend)):
        with torch.no_grad():
            ends.append(roll_out(lambda h, run=run: run(h, **inputs).prediction, frames()))
        model.zero_grad()
        run(frames(), **inputs).prediction.square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    return {
        "moved": float((ends[0] - frames()).abs().max()),
        "rollout": float((ends[0] - ends[1]).abs().max() / ends[0].abs().max()),
        "gradient": float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max()),
    }


if __name__ == "__main__":
    found = {name: compare(sys.argv[1], **changes) for name, changes in CASES.items()}
    sys.stdout.write(json.dumps(found))
