"""What a study found, as ``results.json`` and as a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdefm.provenance import provenance
from pdefm.train.recipe import FinetuneRecipe

FINETUNED, SCRATCH, FNO = "finetuned", "scratch", "fno"
UNTRAINED = (SCRATCH, FNO)  # start from new weights, not from the base


def study_results(
    recipe: FinetuneRecipe,
    shots: list[int],
    found: Mapping[str, list[list[float]]],
    baselines: Mapping[str, Mapping[str, float]],
    num_seeds: int,
    base_sha256: str,
    learning_rates: Mapping[str, float],
) -> dict[str, Any]:
    """Content of ``results.json``.

    Args:
        recipe: Data, task and steps.
        shots: Numbers of training trajectories.
        found: Label to errors, a list over the seeds for each number.
        baselines: Label to source to error of what learns nothing.
        num_seeds: Seeds.
        base_sha256: Hash of the weights that the fine-tuned ones started from.
        learning_rates: Label to the peak of its schedule.
    """
    errors: dict[str, dict[str, list[Any]]] = {
        label: {
            "mean": [float(np.mean(values)) for values in by_shot],
            "std": [float(np.std(values)) for values in by_shot],
            "values": by_shot,
        }
        for label, by_shot in found.items()
    }
    scratch = errors[SCRATCH]["mean"]
    tuned = {label: errors[label]["mean"] for label in found if label not in UNTRAINED}
    for label, by_source in baselines.items():
        mean = float(np.mean(list(by_source.values())))
        errors[label] = {"mean": [mean] * len(shots), "std": [0.0] * len(shots)}
    gains = {
        label: [sample_efficiency(shots, mean, scratch, at) for at in range(len(shots))]
        for label, mean in tuned.items()
    }
    return {
        "schema": 1,
        **provenance(recipe.seed),
        "recipe": recipe.model_dump(mode="json"),
        "base_sha256": base_sha256,
        "num_seeds": num_seeds,
        "num_steps": recipe.train.max_steps,
        "learning_rates": dict(learning_rates),
        "metric": "relative_l2",
        "shots": shots,
        "errors": errors,
        "gain": next(iter(gains.values()))[0],
        "gains": gains,
    }


def sample_efficiency(
    shots: Sequence[int], finetuned: Sequence[float], scratch: Sequence[float], at: int = 0
) -> dict[str, Any]:
    """How many times more trajectories training from nothing needs for the same error.

    The error of the fine-tuned model at ``shots[at]`` is looked up on the curve from scratch, which
    is interpolated in the logarithm of the number.

    Returns:
        ``factor`` (a lower bound if ``at_least``, an upper one if ``at_most``), and a sentence.
    """
    target, k = finetuned[at], shots[at]
    logs = np.log(np.array(shots, float))
    reached = next((i for i, error in enumerate(scratch) if error <= target), None)
    at_least, at_most = reached is None, reached == 0
    start = f"fine-tuned on {k} trajectories: error {target:.4f}"
    if reached is None:
        factor = shots[-1] / k
        sentence = f"{start}; from scratch not reached with {shots[-1]}: more than {factor:.3g}x"
        sentence = f"{sentence} the data"
    elif reached == 0:
        factor = shots[0] / k
        sentence = (
            f"no gain: from scratch on {shots[0]} trajectories is as good"
            f" ({scratch[0]:.4f}, fine-tuned on {k} {target:.4f})"
        )
    else:
        before, after = scratch[reached - 1], scratch[reached]
        where = np.interp(target, [after, before], [logs[reached], logs[reached - 1]])
        factor = float(np.exp(where)) / k
        sentence = f"{start}; from scratch that takes {factor * k:.3g}: {factor:.3g}x the data"
    return {"factor": factor, "at_least": at_least, "at_most": at_most, "sentence": sentence}


def draw_study(results: Mapping[str, Any]) -> bytes:
    """Error over the number of trajectories, a curve a contender with its spread over the seeds."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    from pdefm.evaluation.plots import line_style, new_figure, png_bytes

    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    shots = results["shots"]
    for position, (label, errors) in enumerate(results["errors"].items()):
        style = line_style(label, position)
        mean, std = np.array(errors["mean"]), np.array(errors["std"])
        marker = "o" if "values" in errors else None  # a baseline learns nothing
        axes.plot(shots, mean, label=label, marker=marker, markersize=4, **style)
        axes.fill_between(
            shots,
            np.maximum(mean - std, 0.2 * mean),
            mean + std,
            color=style["color"],
            alpha=0.15,
            linewidth=0,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("training trajectories")
    axes.set_ylabel("relative L2 error, one step")
    seeds = "1 seed" if results["num_seeds"] == 1 else f"{results['num_seeds']} seeds"
    axes.set_title(f"{results['num_steps']} steps each, {seeds}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="0.9", linewidth=0.7)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return png_bytes(figure)
