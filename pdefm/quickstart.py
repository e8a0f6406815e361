"""The main job end to end, from the shipped model: solve, fine-tune, publish, evaluate, report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pdefm.adapters import read_adapter
from pdefm.config import override_values, recipe_values, section_from_dict
from pdefm.data.collection import TrajectoryCollection
from pdefm.data.source import GenerateSection
from pdefm.errors import EnvironmentFault, RecipeError
from pdefm.evaluation.animation import write_gif
from pdefm.evaluation.evaluate import evaluate
from pdefm.evaluation.fields import common_frames, spread_frames
from pdefm.evaluation.panels import comparison_panel
from pdefm.evaluation.plots import png_bytes
from pdefm.evaluation.protocol import Contender, Protocol
from pdefm.evaluation.report import Example, ReportInput, write_report
from pdefm.evaluation.rollout import rollout
from pdefm.files import write_bytes_atomic, write_json_atomic
from pdefm.hub.evaluation import describe_model
from pdefm.hub.load import load_by_name
from pdefm.hub.publish import publish
from pdefm.hub.resolve import resolve
from pdefm.models.dpot.modeling_dpot import DPOTModel
from pdefm.tasks.forecasting import ForecastingOptions
from pdefm.train.finetune import finetune
from pdefm.train.journal import read_metrics
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import FinetuneRecipe, PretrainRecipe

RECIPE = "finetune/quickstart"
SHAPE = "pretrain/nano"  # of the model that is trained from nothing: that of the shipped one
NUM_TEST = 8  # test trajectories of the equation; never seen in training


@dataclass(frozen=True)
class Folders:
    """Where everything goes."""

    root: Path

    @property
    def finetuning(self) -> Path:
        """Run folder of the adapter."""
        return self.root / "runs" / "finetune"

    @property
    def scratch(self) -> Path:
        """Run folder of the model that starts from nothing."""
        return self.root / "runs" / "scratch"

    @property
    def adapter(self) -> Path:
        """Published adapter."""
        return self.root / "models" / "dpot-nano-allen-cahn"


def quickstart_recipe(overrides: Sequence[str], seed: int | None) -> FinetuneRecipe:
    """The shipped recipe, with ``a.b=c`` laid over it.

    Raises:
        RecipeError: A wrong key.
    """
    values = override_values(recipe_values(RECIPE), overrides)
    if seed is not None:
        values["seed"] = seed
    return section_from_dict(FinetuneRecipe, values, RECIPE)


def scratch_recipe(adapted: FinetuneRecipe) -> PretrainRecipe:
    """The base's shape, trained from nothing on the adapter's data for the adapter's steps."""
    shape = section_from_dict(PretrainRecipe, recipe_values(SHAPE), SHAPE)
    return shape.model_copy(
        update={
            "name": "scratch",
            "seed": adapted.seed,
            "data": adapted.data,
            "task": section_from_dict(ForecastingOptions, adapted.task_options, "task_options"),
            "train": adapted.train,
        }
    )


def _test_set(section: GenerateSection | None) -> TrajectoryCollection:
    if section is None:
        raise RecipeError("quickstart sources need generate", do="Use pdefm pretrain for files")
    return section.model_copy(update={"num_validation": NUM_TEST}).open("test", "cpu")


def _contenders(folders: Folders, base: str) -> dict[str, Contender]:
    """Adapter, base as it is, and scratch."""
    adapted = Contender(*load_by_name(base, str(folders.finetuning)))
    untrained, processor = load_by_name(base)
    unknown = [name for name in adapted.processor.fields if name not in processor.fields]
    if unknown:  # read through the weights that the adapter started from
        cast(DPOTModel, untrained).add_fields(
            read_adapter(resolve(folders.finetuning)).added_fields
        )
        processor = adapted.processor
    return {
        "adapter": adapted,
        "base": Contender(untrained, processor),
        "scratch": Contender(*load_by_name(str(folders.scratch))),
    }


def _evaluate_adapter(
    folders: Folders, recipe: FinetuneRecipe, contenders: Mapping[str, Contender]
) -> tuple[dict[str, Any], TrajectoryCollection]:
    source = recipe.data.sources[0]
    tests = _test_set(source.generate)
    protocol = Protocol(history=contenders["adapter"].processor.history)
    model = describe_model(recipe.base, str(folders.finetuning))
    model["adapter"]["name"] = folders.adapter.name
    results = evaluate({source.name: tests}, contenders, protocol, model=model, seed=recipe.seed)
    write_json_atomic(folders.finetuning / "results.json", results)
    return results, tests


def _examples(
    name: str, tests: TrajectoryCollection, contenders: Mapping[str, Contender]
) -> list[Example]:
    """The first test trajectory under every contender."""
    truth = tests[0]
    history = contenders["adapter"].processor.history
    steps = truth.num_frames - history
    predictions = {
        label: rollout(c.model, c.processor, truth.frames(0, history), steps)
        for label, c in contenders.items()
    }
    return [Example(name, truth.names[0], truth, predictions)]


def _report(
    folders: Folders,
    results: dict[str, Any],
    examples: list[Example],
    base: str,
) -> Path:
    first = examples[0]
    adapter_only = {"adapter": first.predictions["adapter"]}
    write_gif(folders.root / "rollout.gif", first.truth, adapter_only, first.field)
    shown = spread_frames(common_frames(first.truth, adapter_only), 4)
    panel = comparison_panel(first.truth, adapter_only, first.field, shown)
    write_bytes_atomic(folders.root / "picture.png", png_bytes(panel))
    return write_report(
        folders.root / "report.html",
        ReportInput(
            title="pdefm quickstart",
            subtitle=f"{Path(base).name}, adapted to an equation that it had never seen",
            results=[results],
            runs={
                "fine-tuning": read_metrics(folders.finetuning),
                "scratch": read_metrics(folders.scratch),
            },
            examples=examples,
        ),
    )


def check_output(root: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        EnvironmentFault: It exists and no quickstart made it.
    """
    occupied = root.exists() and (not root.is_dir() or any(root.iterdir()))
    if occupied and not (root / "runs" / "finetune" / "recipe.yaml").is_file():
        raise EnvironmentFault(f"{root} exists and holds no quickstart", do="Choose another --out")


def quickstart(
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Do the whole main job on a laptop.

    Args:
        out: Folder for runs, models, report and pictures; finished parts of an earlier run with the
            same settings are not done again.
        overrides: Settings of the shipped recipe.
        seed: Replaces its seed.
        overwrite: Start the runs anew.
        say: Told what happens next.

    Returns:
        ``report``, ``animation``, ``picture``, ``adapter`` (paths), ``model``, ``errors`` (relative
        L2 of adapter, base, scratch and persistence on unseen trajectories), ``seconds``.

    Raises:
        PdefmError: As the parts say.
    """
    start = time.perf_counter()
    folders = Folders(Path(out))
    check_output(folders.root)
    recipe = quickstart_recipe(overrides, seed)
    target, base = recipe.data.sources[0].name, Path(recipe.base).name
    say(f"1/3  fine-tune {base} on {target}, which it has never seen")
    finetune(recipe, resolve(recipe.base), folders.finetuning, overwrite=overwrite)
    say("2/3  train the same model from scratch on the same data, for comparison")
    pretrain(scratch_recipe(recipe), folders.scratch, overwrite=overwrite)
    say("3/3  evaluate on unseen trajectories, publish the adapter with a card, write the report")
    contenders = _contenders(folders, recipe.base)
    results, tests = _evaluate_adapter(folders, recipe, contenders)
    publish(folders.finetuning, out=folders.adapter, overwrite=True)
    report = _report(folders, results, _examples(target, tests, contenders), recipe.base)
    found = results["datasets"][target]
    return {
        "report": str(report),
        "animation": str(folders.root / "rollout.gif"),
        "picture": str(folders.root / "picture.png"),
        "model": recipe.base,
        "adapter": str(folders.adapter),
        "errors": {
            "adapter": found["metrics"]["relative_l2"],
            **{label: b["relative_l2"] for label, b in found["baselines"].items()},
        },
        "seconds": time.perf_counter() - start,
    }
