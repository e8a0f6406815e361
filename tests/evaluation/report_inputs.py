"""Small, plausible inputs for the pictures: a drifting, decaying wave and two forecasts of it."""

import math
from typing import Any

import torch

from pdefm.data.trajectory import Source, Trajectory
from pdefm.domain import Grid


def wave(
    shape: tuple[int, ...] = (32, 32),
    num_frames: int = 12,
    start: int = 0,
    noise: float = 0.0,
    names: tuple[str, ...] = ("vorticity",),
) -> Trajectory:
    """Signed trajectory whose frame ``i`` lies at time ``0.1 (start + i)``."""
    grid = Grid.regular(shape)
    axes = [torch.as_tensor(axis.coordinates(), dtype=torch.float32) for axis in grid.axes]
    mesh = torch.meshgrid(*axes, indexing="ij")
    frames = []
    generator = torch.Generator().manual_seed(0)
    for frame in range(start, start + num_frames):
        t = 0.1 * frame
        value = sum(
            torch.sin(2 * math.pi * (k * m - 0.3 * k * t)) * math.exp(-0.1 * k * t) / k
            for m in mesh
            for k in (1, 2, 5)
        )
        error = noise * (frame - start + 1) * torch.randn(shape, generator=generator)
        frames.append(torch.stack([value + error for _ in names]))
    return Trajectory(
        fields=torch.stack(frames),
        names=names,
        grid=grid,
        times=0.1 * torch.arange(start, start + num_frames),
        units=("1/s",) * len(names),
        source=Source("waves.hdf5", 3),
    )


def per_step(level: float, growth: float, num_steps: int) -> dict[str, dict[str, list[float]]]:
    """Error curves that grow with time."""
    mean = [level * (1 + growth * step) for step in range(num_steps)]
    band = {"mean": mean, "p10": [0.7 * m for m in mean], "p90": [1.4 * m for m in mean]}
    return {"relative_l2": band, "nrmse": band, "vrmse": band}


def numbers(level: float, growth: float, num_steps: int) -> dict[str, Any]:
    """Averages and curves of one forecast."""
    mean = level * (1 + growth * (num_steps - 1) / 2)
    return {
        "relative_l2": mean,
        "nrmse": mean * 1.01,
        "vrmse": mean * 1.2,
        "per_step": per_step(level, growth, num_steps),
    }


def results(
    own: float = 0.012, num_steps: int = 8, adapter: bool = True, sha256: str = "ab" * 32
) -> dict[str, Any]:
    """A results.json with persistence, base and scratch as baselines."""
    evaluated = numbers(own, 0.3, num_steps)
    return {
        "schema": 1,
        "command": "pdefm evaluate --model tiny --adapter runs/waves --data waves.hdf5",
        "seed": 0,
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "created": "2030-01-02T03:04:05+00:00",
        "versions": {"pdefm": "0.1.0", "torch": "2.8.0", "transformers": "5.20.0"},
        "hardware": {"device": "cpu", "num_threads": 2},
        "model": {
            "name": "tiny",
            "path": "tiny",
            "sha256": sha256,
            "num_parameters": 1234567,
            "adapter": {"name": "waves", "tuner": "lora", "sha256": sha256} if adapter else None,
        },
        "protocol": {
            "history": 4,
            "horizon": 1,
            "start_frame": 0,
            "num_steps": num_steps,
            "reduction": "averaged over trajectories, steps and fields",
        },
        "datasets": {
            "waves-test": {
                "num_trajectories": 16,
                "num_steps": num_steps,
                "resolution": [32, 32],
                "field_names": ["vorticity"],
                "units": ["1/s"],
                "dt": 0.1,
                "metrics": {key: evaluated[key] for key in ("relative_l2", "nrmse", "vrmse")},
                "per_step": evaluated["per_step"],
                "per_field": {"vorticity": {"relative_l2": evaluated["relative_l2"]}},
                "baselines": {
                    "persistence": numbers(0.08, 0.9, num_steps),
                    "base": numbers(0.05, 0.4, num_steps),
                    "scratch": numbers(0.03, 0.3, num_steps),
                },
            }
        },
    }


def metrics_lines(num_lines: int = 200) -> list[dict[str, Any]]:
    """Rows of a metrics.jsonl: decaying noisy loss, warm-up and cosine, a few validations."""
    generator = torch.Generator().manual_seed(1)
    jitter = torch.exp(0.25 * torch.randn(num_lines, generator=generator)).tolist()
    lines: list[dict[str, Any]] = []
    for i in range(num_lines):
        warm = min(1.0, (i + 1) / 20)
        rate = 1e-3 * warm * 0.5 * (1 + math.cos(math.pi * i / num_lines))
        loss = (0.6 * math.exp(-i / 40) + 0.02) * jitter[i]
        lines.append({"step": 10 * (i + 1), "loss": loss, "learning_rate": rate})
        if i % 40 == 39:
            lines.append({"step": 10 * (i + 1), "validation": {"waves": loss * 1.2}})
    return lines
