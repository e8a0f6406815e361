"""metrics.jsonl, the trackers and the progress bar of a run."""

import json
from pathlib import Path
from typing import Any

from pdefm.files import append_text, write_text_atomic
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
            append_text(self.path, json.dumps(line) + "\n")
        numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}
        for group in ("validation", "validation_rollout", "source_losses"):
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
            line = json.dumps({"step": step, "event": kind, **facts})
            append_text(self.path.with_name("events.jsonl"), f"{line}\n")

    def has_validation(self, step: int) -> bool:
        """True if a validation of that step is written down."""
        lines = read_metrics(self.path.parent) if self.path.exists() else []
        return any(line["step"] == step and "validation" in line for line in lines)


def read_metrics(run_folder: Path) -> list[dict[str, Any]]:
    """All whole lines of ``metrics.jsonl``; a last line that a kill cut short is left out."""
    lines = []
    for text in (run_folder / "metrics.jsonl").read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
