"""The main job end to end: solve, pretrain, publish, fine-tune, evaluate, report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from pdefm.models.loading import load_model
from pdefm.tasks.forecasting import ForecastingOptions
from pdefm.train.finetune import finetune
from pdefm.train.journal import read_metrics
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import FinetuneRecipe, PretrainRecipe

RECIPES = {"pretrain": "pretrain/quickstart", "finetune": "finetune/quickstart"}
NUM_TEST = 8  # test trajectories of each equation; never seen in training


@dataclass(frozen=True)
class Folders:
    """Where everything goes."""

    root: Path

    @property
    def pretraining(self) -> Path:
        """Run folder of the base."""
        return self.root / "runs" / "pretrain"

    @property
    def finetuning(self) -> Path:
        """Run folder of the adapter."""
        return self.root / "runs" / "finetune"

    @property
    def scratch(self) -> Path:
        """Run folder of the model that starts from nothing."""
        return self.root / "runs" / "scratch"

    @property
    def model(self) -> Path:
        """Published base."""
        return self.root / "models" / "dpot-quickstart"

    @property
    def adapter(self) -> Path:
        """Published adapter."""
        return self.root / "models" / "dpot-quickstart-allen-cahn"


def quickstart_recipes(
    overrides: Sequence[str], seed: int | None
) -> tuple[PretrainRecipe, FinetuneRecipe]:
    """Both shipped recipes, with ``pretrain.a.b=c`` and ``finetune.a.b=c`` laid over them.

    Raises:
        RecipeError: An override that names neither, or a wrong key.
    """
    values = {part: recipe_values(name) for part, name in RECIPES.items()}
    if seed is not None:
        overrides = [f"{part}.seed={seed}" for part in RECIPES] + list(overrides)
    for override in overrides:
        if override.partition(".")[0] not in RECIPES:
            raise RecipeError(
                "quickstart settings start with pretrain. or finetune.",
                got=f"'{override}'",
                do="Write it as --set pretrain.train.max_steps=100",
            )
    values = override_values(values, overrides)
    return (
        section_from_dict(PretrainRecipe, values["pretrain"], RECIPES["pretrain"]),
        section_from_dict(FinetuneRecipe, values["finetune"], RECIPES["finetune"]),
    )


def scratch_recipe(base: PretrainRecipe, adapted: FinetuneRecipe) -> PretrainRecipe:
    """The base's model, trained from nothing on the adapter's data for the adapter's steps."""
    return base.model_copy(
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


def _evaluate_base(folders: Folders, recipe: PretrainRecipe) -> dict[str, Any]:
    """One results.json for the base: every equation that it was trained on."""
    subject = Contender(*load_by_name(str(folders.pretraining)))
    tests = {s.name: _test_set(s.generate) for s in recipe.data.sources}
    protocol = Protocol(history=subject.processor.history)
    model = describe_model(str(folders.pretraining)) | {
        "name": folders.model.name,
        "path": folders.model.name,
    }
    results = evaluate(tests, {"model": subject}, protocol, model=model, seed=recipe.seed)
    write_json_atomic(folders.pretraining / "results.json", results)
    return results


def _contenders(folders: Folders) -> dict[str, Contender]:
    """Adapter, base as it is, and scratch, for data that the base does not know.

    The untrained base reads the new field through the weights that the adapter started from.
    """
    adapted, processor = load_by_name(str(folders.model), str(folders.finetuning))
    base, _ = load_model(resolve(folders.model))
    base.add_fields(read_adapter(resolve(folders.finetuning)).added_fields)
    scratch, scratch_processor = load_by_name(str(folders.scratch))
    return {
        "adapter": Contender(adapted, processor),
        "base": Contender(base, processor),
        "scratch": Contender(scratch, scratch_processor),
    }


def _evaluate_adapter(
    folders: Folders, recipe: FinetuneRecipe, contenders: Mapping[str, Contender]
) -> tuple[dict[str, Any], TrajectoryCollection]:
    source = recipe.data.sources[0]
    tests = _test_set(source.generate)
    protocol = Protocol(history=contenders["adapter"].processor.history)
    model = describe_model(str(folders.model), str(folders.finetuning))
    model["adapter"]["name"] = folders.adapter.name
    model["path"] = folders.model.name
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
    base_results: dict[str, Any],
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
            subtitle="A base pretrained on three equations, adapted to one that it had never seen",
            results=[results, base_results],
            runs={
                "pretraining": read_metrics(folders.pretraining),
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
    if occupied and not (root / "runs" / "pretrain" / "recipe.yaml").is_file():
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
        overrides: Settings of the two shipped recipes.
        seed: Replaces the seed of both.
        overwrite: Start the runs anew.
        say: Told what happens next.

    Returns:
        ``report``, ``animation``, ``picture``, ``model``, ``adapter`` (paths), ``errors`` (relative
        L2 of adapter, base, scratch and persistence on unseen trajectories), ``seconds``.

    Raises:
        PdefmError: As the parts say.
    """
    start = time.perf_counter()
    folders = Folders(Path(out))
    check_output(folders.root)
    base_recipe, adapter_recipe = quickstart_recipes(overrides, seed)
    adapter_recipe = adapter_recipe.model_copy(update={"base": folders.model.name})
    equations = ", ".join(source.name for source in base_recipe.data.sources)
    say(f"1/5  solve {equations}, and pretrain one DPOT across them")
    pretrain(base_recipe, folders.pretraining, overwrite=overwrite)
    say("2/5  evaluate the base on unseen trajectories, and publish it with a card")
    base_results = _evaluate_base(folders, base_recipe)
    publish(folders.pretraining, out=folders.model, overwrite=True)
    target = adapter_recipe.data.sources[0].name
    say(f"3/5  fine-tune an adapter on {target}, which the base has never seen")
    finetune(adapter_recipe, resolve(folders.model), folders.finetuning, overwrite=overwrite)
    say("4/5  train the same model from scratch on the same data, for comparison")
    pretrain(scratch_recipe(base_recipe, adapter_recipe), folders.scratch, overwrite=overwrite)
    say("5/5  evaluate, publish the adapter, write the report")
    contenders = _contenders(folders)
    results, tests = _evaluate_adapter(folders, adapter_recipe, contenders)
    publish(folders.finetuning, out=folders.adapter, overwrite=True)
    report = _report(folders, results, _examples(target, tests, contenders), base_results)
    found = results["datasets"][target]
    return {
        "report": str(report),
        "animation": str(folders.root / "rollout.gif"),
        "picture": str(folders.root / "picture.png"),
        "model": str(folders.model),
        "adapter": str(folders.adapter),
        "errors": {
            "adapter": found["metrics"]["relative_l2"],
            **{label: b["relative_l2"] for label, b in found["baselines"].items()},
        },
        "seconds": time.perf_counter() - start,
    }
