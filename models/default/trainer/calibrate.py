"""Temperature and prior from the leave-one-corpus-out runs and the odds of `unknown`; then the export. The alert
threshold is chosen on the packed model, by advise.py.

A corpus that a run never saw is the nearest thing to a user's recordings: on it scores are to mean what they say.
Needs judged-student.npz and judged-loco-CORPUS.npz of judge.py; without the latter, the values of an earlier
metrics.json.

The addition to angry and `unknown` (slope and middle) are chosen on the test speakers that evaluate.py scores.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from .alarms import Ordinary
from .audio import Audio
from .corpus import Clip, data_dir, read_clips
from .export import VERSION, write
from .files import made_after
from .judged import Judged
from .labels import LABELS
from .metrics import calibrated, calibration_error, shift
from .shipped import Calibration, distance, speech_directions
from .train import load

DIRECTIONS = 64
# Of held-out speech this share lies farther from the training speech than `middle`, and a twentieth so far that
# unknown has 5 %.
BEYOND = 0.002
# Threshold of the built-in rule (config/alerts.toml) where a model advises none.
BUILT_IN = 0.6


def left_out(judged: dict[str, Judged]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits and targets of each corpus under the run that never saw it, clean and over the line."""
    return [
        (one.logits[condition][rows], one.target[rows])
        for corpus, one in judged.items()
        for rows in [(one.corpus == corpus) & (one.target >= 0)]
        for condition in ("clean", "line")
    ]


def fit(sets: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """The temperature and neutral's deduction with the lowest mean negative log-likelihood, every set counting the
    same."""

    def loss(temperature: float, neutral: float) -> float:
        each = [calibrated(logits, temperature, neutral)[np.arange(len(targets)), targets] for logits, targets in sets]
        return float(np.mean([-np.log(one + 1e-9).mean() for one in each]))

    grid = [(float(t), float(n)) for t in np.arange(0.8, 2.01, 0.1) for n in np.arange(0.0, 2.01, 0.2)]
    return min(grid, key=lambda pair: loss(*pair))


def ordinary_speech(student: Judged, temperature: float, neutral: float, angry: float) -> list[Ordinary]:
    """Of the test speakers, clean and over the line."""
    rows = student.ordinary
    return [
        Ordinary(
            calibrated(student.logits[condition][rows], temperature, neutral, angry),
            student.seconds[rows],
            student.clip[rows],
        )
        for condition in ("clean", "line")
    ]


def bolder(student: Judged, temperature: float, neutral: float) -> float:
    """The most that can be added to the logit of angry without an alarm of the built-in rule on ordinary speech.

    Likelihood on the corpora left out asks for more: there anger is missed, not invented.
    """
    fine = 0.0
    for angry in np.arange(0.0, 0.51, 0.05):
        if any(one.alarms(BUILT_IN) for one in ordinary_speech(student, temperature, neutral, float(angry))):
            break
        fine = float(angry)
    return round(fine, 2)


def calibrate(clips: list[Clip], work: Path, out: Path, version: str = VERSION) -> None:
    audio = Audio.of(clips, work)
    judgements = [work / "judged-student.npz", *work.glob("judged-loco-*.npz")]
    if (work / "calibration.json").exists() and made_after(out / "model.json", work / "student.pt", *judgements):
        return
    student = Judged.read(judgements[0], clips, audio)
    runs = {
        path.stem.removeprefix("judged-loco-"): Judged.read(path, clips, audio)
        for path in sorted(work.glob("judged-loco-*.npz"))
    }
    if runs:
        temperature, neutral = fit(left_out(runs))
    else:
        earlier = json.loads((Path(__file__).resolve().parent.parent / "metrics.json").read_text())["calibration"]
        temperature, neutral = earlier["temperature"], earlier["neutral_deduction"]
    angry = bolder(student, temperature, neutral)
    bias = shift(neutral, angry)
    centre, directions = speech_directions(student.trained.astype(np.float64), DIRECTIONS)
    held_out = student.role == "test"
    away = distance(student.embeddings.astype(np.float64), centre, directions)[held_out]
    middle, near = np.quantile(away, 1 - BEYOND), np.quantile(away, 0.95)
    # Embeddings of root mean square 1, as their readers expect.
    scale = float(1 / np.sqrt((student.trained.astype(np.float64) ** 2).mean()))
    calibration = Calibration(temperature, bias, centre, directions, float(3 / (middle - near)), float(middle), scale)
    errors = (
        {
            name: float(
                np.mean([calibration_error(calibrated(logits, *values), targets) for logits, targets in left_out(runs)])
            )
            for name, values in {"before": (1.0, 0.0, 0.0), "after": (temperature, neutral, angry)}.items()
        }
        if runs
        else {}
    )
    report = {
        "temperature": round(temperature, 3),
        "neutral_deduction": round(neutral, 3),
        "angry_addition": angry,
        "left_out_ece": errors,
        "unknown": {
            "directions": DIRECTIONS,
            "slope": round(calibration.slope, 3),
            "middle": round(calibration.middle, 3),
        },
        "labels": LABELS,
    }
    (work / "calibration.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report), flush=True)
    write(load(work / "student.pt", "cpu"), calibration, out, version)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default=VERSION, help="in model.json")
    arguments = parser.parse_args()
    calibrate(read_clips(data_dir(arguments.data)), arguments.work, arguments.out, arguments.version)
