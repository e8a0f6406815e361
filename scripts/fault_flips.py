"""Damage a checkpoint in small ways and count how often a resume notices.

``python -m scripts.fault_flips --flips 1000 --truncations 500`` prints one line of JSON, and fails
if a damage was not found. Half of the places are drawn over all bytes, half over the files, so that
the small ones are met, too.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from pdefm.provenance import commit
from pdefm.train.checkpoint import checkpoint_folder, find_checkpoint
from tests.faults.kit import prepare, start


def draw_file(files: list[Path], rng: random.Random) -> Path:
    """A file, by its size or not."""
    weights = [path.stat().st_size for path in files] if rng.random() < 0.5 else None
    return rng.choices(files, weights)[0]


def flipped(content: bytes, rng: random.Random) -> bytes:
    """The same but for one bit."""
    place = rng.randrange(len(content))
    changed = bytes([content[place] ^ 1 << rng.randrange(8)])
    return content[:place] + changed + content[place + 1 :]


def count_found(run: Path, step: int, damages: int, rng: random.Random, how: str) -> int:
    """Damage the newest checkpoint again and again; how often is an older one used instead?"""
    files = sorted(path for path in checkpoint_folder(run, step).rglob("*") if path.is_file())
    found = 0
    for _ in range(damages):
        path = draw_file(files, rng)
        content = path.read_bytes()
        cut = how == "truncations"
        path.write_bytes(content[: rng.randrange(len(content))] if cut else flipped(content, rng))
        checkpoint, skipped = find_checkpoint(run)
        noticed = checkpoint is not None and checkpoint[0] < step and len(skipped) == 1
        found += noticed
        if not noticed:
            sys.stderr.write(f"not noticed in {path}\n")
        path.write_bytes(content)
    return found


def main() -> None:
    """Parse, run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000, help="single bits")
    parser.add_argument("--truncations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = folder / "run"
        begun_run = start(prepare(folder, max_steps=4, save_steps=2), run)
        if begun_run.end():
            raise SystemExit(begun_run.message)
        figures = {"seed": options.seed, "commit": commit()}
        good = True
        for how in ("flips", "truncations"):
            asked = getattr(options, how)
            found = count_found(run, 4, asked, rng, how)
            figures |= {how: asked, f"{how} found": found}
            good = good and found == asked
    print(json.dumps(figures | {"seconds": round(time.monotonic() - begun)}))
    sys.exit(not good)


if __name__ == "__main__":
    main()
