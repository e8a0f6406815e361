"""Optimizer and learning-rate schedule."""

import math
from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from pdefm.train.recipe import TrainSection


def make_optimizer(model: nn.Module, section: TrainSection) -> Optimizer:
    """The recipe's optimizer over the trainable weights.

    With ``adamw`` biases, norms and other vectors do not decay; ``adam`` is the published DPOT's:
    the decay is part of the gradient, of every weight.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    betas = (section.adam_beta1, section.adam_beta2)
    if section.optim == "adam":
        rate, decay = section.learning_rate, section.weight_decay
        return Adam(trainable, lr=rate, betas=betas, weight_decay=decay)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": section.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=section.learning_rate,
        betas=betas,
    )


def learning_rate(section: TrainSection, step: int) -> float:
    """Learning rate of one step, counted from 0: a pure function, so nothing must be restored.

    All schedules rise linearly over ``warmup_steps`` (``one_cycle`` along a half cosine), then
    ``cosine`` and ``one_cycle`` fall along a half cosine to ``min_learning_rate_ratio``, and
    ``wsd`` (warm up, stay, decay: arXiv 2404.06395, section 4) stays at the peak until the last
    ``decay_fraction`` of the steps, along which it falls linearly.
    """
    peak, floor = section.learning_rate, section.min_learning_rate_ratio
    if step < section.warmup_steps:
        risen = (step + 1) / section.warmup_steps
        if section.lr_scheduler_type == "one_cycle":
            risen = floor + (1 - floor) * 0.5 * (1 - math.cos(math.pi * risen))
        return peak * risen
    if section.lr_scheduler_type == "constant":
        return peak
    if section.lr_scheduler_type == "wsd":
        left = (section.max_steps - step) / max(1.0, section.decay_fraction * section.max_steps)
        return peak * (floor + (1 - floor) * min(left, 1.0))
    gone = (step - section.warmup_steps) / max(1, section.max_steps - section.warmup_steps)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(gone, 1.0))))
