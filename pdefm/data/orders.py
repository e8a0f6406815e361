"""What `pdefm data generate` is asked for: families, all of them, or a recipe of sets."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field as Limits

from pdefm.config import Section, load_recipe, override_values
from pdefm.data.generate import SHARD_SIZE, Order, make_pde
from pdefm.errors import RecipeError
from pdefm.pdes import PDES
from pdefm.registry import nearest_name_hint

ALL = "all"
RECIPE_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Preset:
    """Size of a set of every family; ``points`` an axis by the number of axes."""

    num_trajectories: int
    num_frames: int
    points: dict[int, int]


PRESETS = MappingProxyType(
    {
        "tiny": Preset(4, 6, {1: 64, 2: 32, 3: 16}),
        "small": Preset(64, 21, {1: 128, 2: 64, 3: 32}),
        "base": Preset(1024, 51, {1: 512, 2: 128, 3: 64}),
    }
)
"""For a look and for tests, for a first model on a CPU, and for a GPU."""
DEFAULT = Preset(8, 21, {1: 64, 2: 64, 3: 64})


class SetSection(Section):
    """One set of a generation recipe."""

    family: str
    """Name in the table of equations."""
    name: str | None = None
    """Folder below the output; the family's name unless given."""
    num_trajectories: int = Limits(default=DEFAULT.num_trajectories, ge=1)
    resolution: int | list[int] = 64
    """Points per axis."""
    num_frames: int | None = Limits(default=None, ge=1)
    """Frames, the initial state included; 21, or 1 of a steady family, unless given."""
    seed: int | None = Limits(default=None, ge=0)
    """Decides the samples; the recipe's unless given."""
    split: str = "train"
    """``train``, ``valid`` or ``test``: different samples."""
    shard_size: int = Limits(default=SHARD_SIZE, ge=1)
    """Trajectories a file."""
    settings: dict[str, Any] = Limits(default_factory=dict)
    """Arguments of the equation, such as ``parameter_ranges`` or ``dt``."""


class GenerationRecipe(Section):
    """Sets of trajectories to be solved."""

    name: str
    seed: int = Limits(default=0, ge=0)
    sets: list[SetSection] = Limits(min_length=1)


def num_frames_of(family: str, wanted: int) -> int:
    """A steady family has one frame, whatever is wanted of the others."""
    return 1 if PDES[family].steady else wanted


def orders_for(
    names: Sequence[str],
    out: Path,
    *,
    preset: str | None = None,
    num_trajectories: int | None = None,
    resolution: int | None = None,
    num_frames: int | None = None,
    seed: int | None = None,
    split: str | None = None,
    device: str = "cpu",
    settings: Sequence[str] = (),
    shard_size: int | None = None,
) -> list[Order]:
    """Orders for families, for ``all`` of them, or for one recipe.

    One family goes into ``out`` itself, several into a folder each below it.

    Args:
        names: Families, ``all``, or a recipe's file.
        out: Output folder.
        preset: ``tiny``, ``small`` or ``base``; sizes that are given go before it.
        num_trajectories: How many of each.
        resolution: Points per axis.
        num_frames: Frames; steady families have one.
        seed: Decides the samples.
        split: ``train``, ``valid`` or ``test``.
        device: Where the solver runs.
        settings: ``key=value`` each: of the family, or overrides of the recipe.
        shard_size: Trajectories a file.

    Raises:
        RecipeError: Unknown names, or options that do not go together.
    """
    device = _own_device(device)
    if any(name.endswith(RECIPE_SUFFIXES) for name in names):
        given = {
            "--preset": preset,
            "--num-trajectories": num_trajectories,
            "--resolution": resolution,
            "--num-frames": num_frames,
            "--split": split,
            "--shard-size": shard_size,
        }
        return _orders_of_recipe(names, out, seed, device, settings, given)
    if preset is not None and preset not in PRESETS:
        raise RecipeError(
            "unknown preset", got=f"'{preset}'", do=nearest_name_hint(preset, list(PRESETS))
        )
    families = sorted(PDES) if ALL in names else list(dict.fromkeys(names))
    if settings and len(families) > 1:
        raise RecipeError(
            "--set is for one family", got=f"{len(families)} families", do="Write a recipe"
        )
    size = DEFAULT if preset is None else PRESETS[preset]
    changes = override_values({}, settings)
    orders = []
    for family in families:
        points = size.points[make_pde(family, changes).num_dims]
        wanted = size.num_frames if num_frames is None else num_frames
        orders.append(
            Order(
                family,
                out if len(families) == 1 else out / family,
                size.num_trajectories if num_trajectories is None else num_trajectories,
                points if resolution is None else resolution,
                num_frames_of(family, wanted),
                seed=seed or 0,
                split=split or "train",
                device=device,
                settings=changes,
                shard_size=shard_size,
            )
        )
    return orders


def _orders_of_recipe(
    names: Sequence[str],
    out: Path,
    seed: int | None,
    device: str,
    overrides: Sequence[str],
    given: dict[str, Any],
) -> list[Order]:
    too_much = [option for option, value in given.items() if value is not None]
    if len(names) > 1 or too_much:
        raise RecipeError(
            "a recipe stands alone and says all sizes itself",
            got=", ".join([*names, *too_much]),
            do="Change the recipe, as in --set sets.0.resolution=64",
        )
    changes = [*overrides, *([] if seed is None else [f"seed={seed}"])]
    recipe = load_recipe(names[0], GenerationRecipe, changes)
    places = [(entry.name or entry.family, entry.split) for entry in recipe.sets]
    if twice := {place for place in places if places.count(place) > 1}:
        raise RecipeError(
            "sets: two sets of one name and split", got=sorted(twice)[0][0], do="Name them"
        )
    return [
        Order(
            entry.family,
            out / (entry.name or entry.family),
            entry.num_trajectories,
            entry.resolution if isinstance(entry.resolution, int) else tuple(entry.resolution),
            num_frames_of(entry.family, DEFAULT.num_frames)
            if entry.num_frames is None
            else entry.num_frames,
            seed=recipe.seed if entry.seed is None else entry.seed,
            split=entry.split,
            device=device,
            settings=entry.settings,
            shard_size=entry.shard_size,
        )
        for entry in recipe.sets
    ]


def launched_as() -> tuple[int, int]:
    """Number of this process and of all that a launcher started."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _own_device(device: str) -> str:
    """Each process of a launcher on its own GPU."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device
