#!/usr/bin/env python
"""Damage good files in many ways and read them: numbers or a typed error must come out.

python scripts/fuzz_formats.py --kind h5 --count 1000 --seed 1     (all kinds without --kind)

Prints one line a kind; exits with 1 if anything escaped, crashed or hung, and says what.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.fuzz import fuzz
from tests.faults.mutants import SAMPLES


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", choices=sorted(SAMPLES), action="append")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    num_failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kind or SAMPLES:
            start = time.monotonic()
            outcome = fuzz(kind, options.count, options.seed, Path(folder))
            counts = ", ".join(f"{word} {n}" for word, n in sorted(outcome.counts.items()))
            print(f"{kind}: {counts} in {time.monotonic() - start:.0f} s", flush=True)
            for failure in outcome.failures:
                print(f"  {failure}")
            num_failures += len(outcome.failures)
    return int(num_failures > 0)


if __name__ == "__main__":
    sys.exit(main())
