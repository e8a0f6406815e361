"""Options of ``pdefm evaluate`` about baselines that it trains."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pdefm.evaluation.training_set import BaselineOrder

DEFAULT_BUDGET = "60s"

Baselines = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Train these on each dataset's training part and measure them, too: fno, unet,"
        " scratch. The first two need pip install 'pdefm[benchmark]'.",
    ),
]
BaselineBudget = Annotated[
    str | None,
    typer.Option(help=f"Time that each of them trains, as 10min; default {DEFAULT_BUDGET}."),
]
BaselineSteps = Annotated[
    int | None, typer.Option(min=1, help="Steps instead, which give the same bits again.")
]
BaselineLearningRate = Annotated[
    float | None, typer.Option(help="Peak of each of them; default 0.003.")
]
BaselineTrajectories = Annotated[
    int | None,
    typer.Option(min=1, help="Training trajectories of each dataset; default the recipe's or all."),
]
BaselineData = Annotated[
    list[str] | None,
    typer.Option(help="Training data, one for each --data; default its train split."),
]


def baseline_order(
    names: str | None,
    budget: str | None,
    steps: int | None,
    learning_rate: float | None,
    num_trajectories: int | None,
    data: list[str] | None,
    seed: int,
) -> "BaselineOrder | None":
    """What was asked for, or ``None``.

    Raises:
        RecipeError: Unknown names, times that are none, or options without ``--baselines``.
        EnvironmentFault: A library is not installed.
    """
    from pdefm.errors import RecipeError

    if names is None:
        if any((budget, steps, learning_rate, num_trajectories, data)):
            raise RecipeError(
                "--baseline options need --baselines", do="Name some, as --baselines fno,unet"
            )
        return None
    from pdefm.baselines.train import BaselineTrainer, Budget
    from pdefm.evaluation.training_set import BaselineOrder
    from pdefm.train.briefing import parse_budget

    if budget is None and steps is None:
        budget = DEFAULT_BUDGET
    seconds = None if budget is None else parse_budget(budget, "--baseline-budget")
    trainer = BaselineTrainer(names.split(","), Budget(seconds, steps), seed, learning_rate)
    return BaselineOrder(trainer.names, trainer, num_trajectories, tuple(data or ()))
