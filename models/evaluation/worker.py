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
# The exit code, of the worker and of evaluate.sh, when some files failed.
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
    # Nothing but the scores is read: no copies of the audio.
    environment = os.environ | {"EMOFLEET__ANALYSIS__ARTIFACTS": '["result"]'}
    if model:
        environment |= {"EMOFLEET__MODEL__DIR": str(model.resolve()), "EMOFLEET__MODEL__NAME": name(model)}
        # With it, run.sh would take the folder for what an earlier `./run.sh env` left, and load another model.
        environment.pop("EMOFLEET_STACK_MODEL", None)
    return environment


def name(model: Path) -> str:
    """The name in the folder's model.json. SystemExit with a sentence where there is none."""
    file = model / "model.json"
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} can't be read as JSON: {error}") from None
    found = card.get("name") if isinstance(card, dict) else None
    if not isinstance(found, str) or not found:
        raise SystemExit(f"{file} names no model: `name` is missing")
    return found


def predictions(command: list[str], files: list[Path], model: Path | None) -> dict[Path, Prediction]:
    """By file; those that failed are missing. The worker's messages go to standard error."""
    found = {}
    wanted = name(model) if model else None
    for start in range(0, len(files), TOGETHER):
        given = [str(file) for file in files[start : start + TOGETHER]]
        # A folder for each run: the audio copies of all of them would fill a disk.
        with tempfile.TemporaryDirectory() as folder:
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
        found |= dict(parsed(run.stdout, wanted))
    return found


def parsed(output: str, wanted: str | None) -> Iterator[tuple[Path, Prediction]]:
    """One JSON object a line, as `analyze --json` prints them. SystemExit where another model than `wanted` scored."""
    for line in output.splitlines():
        if line.startswith("{"):
            report = json.loads(line)
            scored_by = report["model"]["name"]
            if wanted and scored_by != wanted:
                raise SystemExit(f"the worker scored with the model {scored_by}, not with {wanted}")
            yield Path(report["object"]["key"]), prediction(report)


def prediction(report: dict) -> Prediction:
    segments = tuple(
        Segment(channel["channel"], part["end_s"] - part["start_s"], part["emotion"], part["scores"]["angry"])
        for channel in report["channels"]
        for part in channel["segments"]
    )
    return Prediction(report["emotion"], report["confidence"] or 0.0, segments)
