"""Finished trainings of a study, kept beside its folder until that is written."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pdefm.files import write_text_atomic
from pdefm.train.recipe import FinetuneRecipe
from pdefm.train.study_results import UNTRAINED


class FinishedTrainings:
    """Errors by contender, number of trajectories and seed; a file that a killed study leaves.

    Args:
        out: Folder of the study.
        recipe: Of the study; results of another recipe do not count.
        base: Hash of the base's weights; another base's count only for the contenders that do not
            start from it, if it has the same shape.
        shape: All of the base but its weights.
        rates: Learning rate of every contender; an error at another rate does not count.
    """

    def __init__(
        self,
        out: Path,
        recipe: FinetuneRecipe,
        base: str,
        shape: dict[str, Any],
        rates: Mapping[str, float],
    ) -> None:
        self.path = out.with_name(f"{out.name}.unfinished.json")
        # As they are read back: tuples are lists, keys are text.
        keys = {"recipe": recipe.model_dump(mode="json"), "base": base, "shape": shape}
        self.keys = json.loads(json.dumps(keys))
        self.rates = dict(rates)
        self.known: dict[tuple[str, int, int], float] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self.path.read_text(encoding="utf-8"))
            others = {label: rate for label, _, _, _, rate in content["errors"]}
            self.rates = others | self.rates  # contenders that are left out now are kept
            same = {name: content[name] == key for name, key in self.keys.items()}
            self.known = {
                (label, shots, seed): error
                for label, shots, seed, error, rate in content["errors"]
                if same["recipe"]
                and same["shape" if label in UNTRAINED else "base"]
                and rate == self.rates[label]
            }

    def error(self, label: str, shots: int, seed: int) -> float | None:
        """Error of a training, or ``None`` if it is still to be done."""
        return self.known.get((label, shots, seed))

    def add(self, label: str, shots: int, seed: int, error: float) -> None:
        """Keep one."""
        self.known[label, shots, seed] = error
        entries = [[*key, value, self.rates[key[0]]] for key, value in self.known.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(self.path, json.dumps({**self.keys, "errors": entries}))

    def remove(self) -> None:
        """Forget: the study is written."""
        self.path.unlink(missing_ok=True)
