"""Runs the worker over files and reads what it predicted."""

import json
import os
import subprocess
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
    """A stretch of speech of one channel: seconds, predicted label and the score of `angry`."""

    channel: int
    seconds: float
    label: str
    angry: float


@dataclass(frozen=True)
class Prediction:
    """What the worker says of one file; `label` is None when nobody speaks in it."""

    label: str | None
    confidence: float
    angry: float
    segments: tuple[Segment, ...]


def settings(model: Path | None) -> dict[str, str]:
    """The environment of the worker, with another model if one is named."""
    environment = dict(os.environ)
    if model:
        card = json.loads((model / "model.json").read_text())
        environment |= {"EMOFLEET__MODEL__DIR": str(model.resolve()), "EMOFLEET__MODEL__NAME": card["name"]}
    return environment


def predictions(command: list[str], files: list[Path], model: Path | None) -> dict[Path, Prediction]:
    """By file; those that the worker refused are missing, its own words about them go to standard error."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(files), TOGETHER):
            given = [str(file) for file in files[start : start + TOGETHER]]
            run = subprocess.run(
                [*command, "analyze", "--json", "--also-score", "agent", "--out", folder, *given],
                env=settings(model),
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if run.returncode not in (0, SOME_FAILED):
                raise SystemExit(f"{command[0]} ended with exit code {run.returncode}")
            for path, prediction in parsed(run.stdout):
                found[path] = prediction
    return found


def parsed(output: str) -> Iterator[tuple[Path, Prediction]]:
    """One JSON object a line, as `analyze --json` prints them."""
    for line in output.splitlines():
        if line.startswith("{"):
            report = json.loads(line)
            yield Path(report["object"]["key"]), prediction(report)


def prediction(report: dict) -> Prediction:
    segments = tuple(
        Segment(channel["channel"] or 0, part["end_s"] - part["start_s"], part["emotion"], part["scores"]["angry"])
        for channel in report["channels"]
        for part in channel.get("segments") or ()
    )
    spoken = bool(segments) and report.get("emotion") is not None
    scores = report.get("scores") or {}
    return Prediction(
        report["emotion"] if spoken else None, report.get("confidence") or 0.0, scores.get("angry") or 0.0, segments
    )
