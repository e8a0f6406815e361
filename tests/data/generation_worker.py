"""A generation that dies as on a lost machine.

``python -m tests.data.generation_worker OUT NUM_WORKERS KILL_AFTER`` is killed when so many shards
are finished, while the next one is half-written; 0 lets it finish.
"""

import os
import signal
import sys
from pathlib import Path

from pdefm.data import generate as module
from pdefm.data import shards

ARGUMENTS = {
    "num_trajectories": 7,
    "resolution": 16,
    "num_frames": 3,
    "seed": 1,
    "shard_size": 2,
}


def main(out: str, num_workers: int, kill_after: int) -> None:
    replace = os.replace
    num_finished = 0

    def dying(source: Path, target: Path) -> None:
        nonlocal num_finished
        shard = Path(target).suffix == ".hdf5" and not Path(target).name.startswith(".")
        if shard and num_finished == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        num_finished += shard
        replace(source, target)

    if kill_after:
        os.replace = dying
    module.generate("allen_cahn", **ARGUMENTS, out=out, num_workers=num_workers)
    assert shards.NOTES not in os.listdir(out)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
