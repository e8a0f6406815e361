"""metrics.jsonl, the trackers and the progress bar of a run."""

import json
from pathlib import Path
from typing import Any

from pdefm.files import write_text_atomic
from pdefm.train.accelerator import Engine


class Journal:
    """Appends one JSON object a line; only the main process writes.

    Args:
        run_folder: The run.
        engine: Tells which process is the main one, and owns the trackers.
        resume_step: Lines after this step belong to work that was lost, and are removed.
    """

    def __init__(self, run_folder: Path, engine: Engine, resume_step: int = 0) -> None:
        self.path, self.engine = run_folder / "metrics.jsonl", engine
        engine.start_trackers()
        if engine.is_main and self.path.exists():
            lines = [line for line in read_metrics(run_folder) if line["step"] <= resume_step]
            write_text_atomic(self.path, "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, line: dict[str, Any]) -> None:
        """Append a line and send its numbers to the trackers."""
        if self.engine.is_main:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}
        for group in ("validation", "source_losses"):
            numbers |= {f"{group}/{k}": v for k, v in line.get(group, {}).items()}
        self.engine.log(numbers, line["step"])

    def event(self, step: int, kind: str, **facts: Any) -> None:
        """Append to ``events.jsonl``: what was done out of the ordinary, and why.

        Args:
            step: Number of the optimizer step.
            kind: Such as ``skip`` or ``rewound``.
            facts: JSON-like.
        """
        if self.engine.is_main:
            with self.path.with_name("events.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, "event": kind, **facts}) + "\n")


def read_metrics(run_folder: Path) -> list[dict[str, Any]]:
    """All whole lines of ``metrics.jsonl``; a last line that a kill cut short is left out."""
    lines = []
    for text in (run_folder / "metrics.jsonl").read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
