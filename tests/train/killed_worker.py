"""A training that dies as on a lost machine: no cleaning up, no last words.

``python -m tests.train.killed_worker RECIPE OUT STEP train|save`` dies in training step STEP, or
while its checkpoint is being written.
"""

import os
import signal
import sys
from typing import Any

from pdefm.config import load_recipe
from pdefm.train import checkpoint, loop
from pdefm.train.pretrain import pretrain
from pdefm.train.recipe import PretrainRecipe


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(recipe: str, out: str, step: int, place: str) -> None:
    run = loop._Loop.train_step

    def train_step(self: loop._Loop) -> Any:
        if self.step + 1 == step:
            if place == "train":
                die()
            checkpoint.write_manifest = die
        return run(self)

    loop._Loop.train_step = train_step
    pretrain(load_recipe(recipe, PretrainRecipe), out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
