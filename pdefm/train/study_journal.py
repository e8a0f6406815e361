"""Finished trainings of a study, kept beside its folder until that is written."""

import json
from contextlib import suppress
from pathlib import Path

from pdefm.files import write_text_atomic
from pdefm.train.recipe import FinetuneRecipe


class FinishedTrainings:
    """Errors by contender, number of trajectories and seed; a file that a killed study leaves.

    Args:
        out: Folder of the study.
        recipe: Of the study; results of another recipe do not count.
        base: Hash of the base's weights; the same.
    """

    def __init__(self, out: Path, recipe: FinetuneRecipe, base: str) -> None:
        self.path = out.with_name(f"{out.name}.unfinished.json")
        self.key = [recipe.model_dump(mode="json"), base]
        self.known: dict[tuple[str, int, int], float] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["key"] == self.key:
                self.known = {tuple(entry[:3]): entry[3] for entry in content["errors"]}

    def error(self, label: str, shots: int, seed: int) -> float | None:
        """Error of a training, or ``None`` if it is still to be done."""
        return self.known.get((label, shots, seed))

    def add(self, label: str, shots: int, seed: int, error: float) -> None:
        """Keep one."""
        self.known[label, shots, seed] = error
        entries = [[*key, value] for key, value in self.known.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(self.path, json.dumps({"key": self.key, "errors": entries}))

    def remove(self) -> None:
        """Forget: the study is written."""
        self.path.unlink(missing_ok=True)
