"""Runs the worker over files and reads what it predicted."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Files given to one run of the worker: a command line has an end.
TOGETHER = 200
# The exit code of a run in which some files failed.
SOME_FAILED = 3


@dataclass(frozen=True)
class Segment:
    """A segment of speech of one channel: seconds, predicted label and the score of `angry`."""

    channel: int
    seconds: float
    label: str
    angry: float


@dataclass(frozen=True)
class Prediction:
    """What the worker predicts for one file; `label` is None when it has no speech."""

    label: str | None
    confidence: float
    segments: tuple[Segment, ...]


def configured() -> Path | None:
    """The model folder that EMOFLEET__MODEL__DIR names, else the default model; None where no model is there."""
    default = Path(__file__).resolve().parent.parent / "default"
    folder = Path(os.environ.get("EMOFLEET__MODEL__DIR") or default)
    return folder if (folder / "model.json").is_file() else None


def settings(model: Path | None) -> dict[str, str]:
    """The environment of the worker, with another model if one is named."""
    environment = dict(os.environ)
    if model:
        card = json.loads((model / "model.json").read_text())
        environment |= {"EMOFLEET__MODEL__DIR": str(model.resolve()), "EMOFLEET__MODEL__NAME": card["name"]}
    return environment


def predictions(command: list[str], files: list[Path], model: Path | None) -> dict[Path, Prediction]:
    """By file; those that failed are missing. The worker's messages go to standard error."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(files), TOGETHER):
            given = [str(file) for file in files[start : start + TOGETHER]]
            run = subprocess.run(
                [*command, "analyze", "--json", "--also-score", "agent", "--out", folder, *given],
                env=settings(model),
                capture_output=True,
                text=True,
                check=False,
            )
            sys.stderr.write(run.stderr)
            if run.returncode not in (0, SOME_FAILED):
                raise SystemExit(f"{command[0]} ended with exit code {run.returncode}")
            found |= dict(parsed(run.stdout))
    return found


def parsed(output: str) -> Iterator[tuple[Path, Prediction]]:
    """One JSON object a line, as `analyze --json` prints them."""
    for line in output.splitlines():
        if line.startswith("{"):
            report = json.loads(line)
            yield Path(report["object"]["key"]), prediction(report)


def prediction(report: dict) -> Prediction:
    segments = tuple(
        Segment(channel["channel"], part["end_s"] - part["start_s"], part["emotion"], part["scores"]["angry"])
        for channel in report["channels"]
        for part in channel["segments"]
    )
    return Prediction(report["emotion"], report["confidence"] or 0.0, segments)
