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
    # The predictions are printed; audio copies of a large set would fill the disk.
    environment = os.environ | {"EMOFLEET__ANALYSIS__ARTIFACTS": '["result"]'}
    if model:
        environment |= {"EMOFLEET__MODEL__DIR": str(model.resolve()), "EMOFLEET__MODEL__NAME": name_of(model)}
        # With it, `run.sh worker` takes a folder of an earlier `run.sh env` for a leftover of this shell.
        environment.pop("EMOFLEET_STACK_MODEL", None)
    return environment


def name_of(model: Path) -> str:
    """The name that model.json gives."""
    path = model / "model.json"
    try:
        name = json.loads(path.read_text())["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: no JSON object with a `name`: {error!r}") from None
    if not isinstance(name, str):
        raise SystemExit(f"{path}: `name` is {name!r}; it must be a text")
    return name


def predictions(command: list[str], files: list[Path], model: Path | None) -> dict[Path, Prediction]:
    """By file; those that failed are missing. The worker's messages go to standard error."""
    found, environment = {}, settings(model)
    wanted = name_of(model) if model else None
    for start in range(0, len(files), TOGETHER):
        given = [str(file) for file in files[start : start + TOGETHER]]
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run(
                [*command, "analyze", "--json", "--also-score", "agent", "--out", folder, *given],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        sys.stderr.write(run.stderr)
        if run.returncode not in (0, SOME_FAILED):
            raise SystemExit(f"{command[0]} ended with exit code {run.returncode}")
        found |= dict(parsed(run.stdout, wanted))
    return found


def parsed(output: str, model: str | None) -> Iterator[tuple[Path, Prediction]]:
    """One JSON object a line, as `analyze --json` prints them; all by this model, if one is named."""
    for line in output.splitlines():
        if line.startswith("{"):
            report = json.loads(line)
            if model is not None and report["model"]["name"] != model:
                raise SystemExit(f"the worker predicted with the model {report['model']['name']}, not with {model}")
            yield Path(report["object"]["key"]), prediction(report)


def prediction(report: dict) -> Prediction:
    segments = tuple(
        Segment(channel["channel"], part["end_s"] - part["start_s"], part["emotion"], part["scores"]["angry"])
        for channel in report["channels"]
        for part in channel["segments"]
    )
    return Prediction(report["emotion"], report["confidence"] or 0.0, segments)
