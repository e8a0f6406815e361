"""Reads damaged files one after the other; prints a line before and a line after each.

Arguments: folder of the good files, kind, seed, first number, last number. The process may die at
any of them, which the one that started it sees.
"""

import json
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

MEMORY = 8 * 2**30
BATCH = 50


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def read(path, options):
    """Open one file and read some of it; the word for what happened, and the message."""
    from pdefm.data.open import open_trajectories
    from pdefm.errors import PdefmError

    try:
        collection = open_trajectories(path, **options)
        collection.storage()
        for index in sorted({0, len(collection) - 1}):
            last = collection.num_frames(index)
            collection.read(index, 0, min(2, last))
            collection.read(index, last - 1, last)
    except PdefmError as error:
        return "refused", str(error)
    except Exception:
        return "escaped", traceback.format_exc()
    return "read", ""


def main(samples, kind, seed, first, last):
    """Batches, so that one child looks into many files."""
    from pdefm.data.formats.probe import examine
    from tests.faults.mutants import options_of, write_mutant

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while first < last:
        folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        numbers = range(first, min(first + BATCH, last))
        paths = {n: write_mutant(samples, kind, seed, n, folder) for n in numbers}
        probed = {verdict.path: verdict for verdict in examine(list(paths.values()))}
        for number, path in paths.items():
            say(begin=number)
            if verdict := probed.get(path):
                outcome, message = "probe", f"{verdict.what}: {verdict.got}"
            else:
                outcome, message = read(path, options_of(path.name))
            say(end=number, name=path.name, outcome=outcome, message=message)
        shutil.rmtree(folder)
        first = numbers.stop


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]))
