"""A training under an engine, for tests: whole weights are rare, so that little models shard too.

``python -m tests.train.engine_worker RECIPE OUT STEP KEY=VALUE...`` dies in training step STEP (0:
never) and says at the end what a report needs.
"""

import os
import signal
import sys
from typing import Any

from pdefm.cli.options import print_json
from pdefm.config import load_recipe
from pdefm.train import loop
from pdefm.train.engines import zero
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import PretrainRecipe


def main(recipe: str, out: str, step: int, overrides: list[str]) -> None:
    zero.PERSISTENT_ELEMENTS = 0
    run = loop._Loop.train_step

    def train_step(self: loop._Loop) -> Any:
        if self.step + 1 == step and self.session.engine.rank == self.session.engine.world_size - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self)

    loop._Loop.train_step = train_step
    summary = pretrain(load_recipe(recipe, PretrainRecipe, overrides), out)
    if os.environ.get("RANK", "0") == "0":
        print_json(summary)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
