"""Scores the exported model on speakers that nothing else has touched, on segments as served, and writes metrics.json.

Ordinary speech comes first: what of it is predicted to be angry. Acted speech is scored against what the actor
intended. Conditions are those of conditions.py; `line` is a telephone line. Predictions are kept under --work, so that
a second call continues.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from .alarms import ANGRY, Ordinary, operating_curve, table
from .audio import SAMPLE_RATE, Audio
from .calibrate import scores
from .conditions import CONDITIONS
from .corpus import ACTED, SHARE_ALIKE, Clip, data_dir, read_clips
from .files import made_after, write
from .judged import Judged
from .labels import KNOWN, LABELS
from .metrics import (
    calibration_error,
    confusion,
    risk_coverage,
    softmax,
    unweighted_accuracy,
    weighted_accuracy,
)
from .scorer import Scorer, batch_difference, seconds_per_run

FOUR = ("angry", "happy", "neutral", "sad")
CALIBRATED = ("temperature", "neutral_deduction", "angry_addition")
STEADY = ("compressor", "gate", "presence", "silence")
NINE = np.array([LABELS.index(name) for name in KNOWN])


class Scored:
    """Test segments [n] as served, and the nine scores of each by condition."""

    def __init__(self, clips: list[Clip], audio: Audio, model: Path, work: Path):
        self.audio, self.scorer, self.model = audio, Scorer(model), model
        self.cache = work / f"scored-{model.parent.name}"
        self.cache.mkdir(exist_ok=True)
        wanted = [
            n
            for n, clip in enumerate(audio.clip)
            if clips[clip].role == "test" and (clips[clip].ordinary or clips[clip].target >= 0)
        ]
        self.number = np.array(wanted)
        known = [clips[n] for n in audio.clip[self.number]]
        self.clip, self.corpus = audio.clip[self.number], np.array([c.corpus for c in known])
        self.speaker = np.array([c.speaker for c in known])
        self.target = np.array([NINE[c.target] if c.target >= 0 else -1 for c in known])
        self.ordinary = np.array([c.ordinary for c in known])
        self.seconds = np.diff(audio.served[self.number], axis=1)[:, 0] / SAMPLE_RATE

    def scores(self, condition: str) -> np.ndarray:
        """[n, 9]"""
        path = self.cache / f"{condition}.npy"
        if not made_after(path, self.model):
            change = CONDITIONS[condition]
            logits = [self.scorer.logits([change(self.audio.wave(n), int(n))])[0] for n in self.number]
            found = softmax(np.array(logits, np.float64))
            write(path, lambda file: np.save(file, found))
            print(f"{path.parent.name} {condition}: {len(logits)} segments", flush=True)
        return np.load(path)


def four_class(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean recall over those of the four classes that occur; any of the nine labels may be predicted."""
    wanted = [LABELS.index(name) for name in FOUR]
    return float(np.mean([(predicted[target == one] == one).mean() for one in wanted if (target == one).any()]))


def recall_figures(found: np.ndarray, target: np.ndarray) -> dict:
    """`found` [n, 9] scores; `target` [n] index into LABELS."""
    counts = confusion(target, found.argmax(1), len(LABELS))
    return {
        "segments": len(target),
        "unweighted_accuracy": round(unweighted_accuracy(counts), 4),
        "weighted_accuracy": round(weighted_accuracy(counts), 4),
        "four_class_recall": round(four_class(found.argmax(1), target), 4),
        "ece": round(calibration_error(found, target), 4),
        "confusion": counts.tolist(),
    }


def false_alarms(scored: Scored, condition: str) -> dict:
    found = scored.scores(condition)
    everything = Ordinary(found, scored.seconds, scored.clip)
    groups = {name: scored.corpus == name for name in sorted(set(scored.corpus[scored.ordinary]))}
    seen = scored.ordinary & ~np.isin(scored.corpus, [*SHARE_ALIKE, "calls"])
    unseen = scored.ordinary & np.isin(scored.corpus, [*SHARE_ALIKE, "calls"])
    groups |= {f"call {name}": scored.speaker == name for name in sorted(set(scored.speaker[scored.corpus == "calls"]))}
    groups |= {"corpora in training, other speakers": seen, "corpora not in training": unseen, "all": scored.ordinary}
    chosen = {name: rows & scored.ordinary for name, rows in groups.items()}
    return {name: table(everything.chosen(rows)) for name, rows in chosen.items() if rows.any()}


def curve(scored: Scored, condition: str) -> list[dict]:
    found = scored.scores(condition)
    angry = {
        name: found[(scored.corpus == name) & (scored.target == ANGRY)]
        for name in ACTED
        if ((scored.corpus == name) & (scored.target == ANGRY)).any()
    }
    rows = scored.ordinary
    return operating_curve(Ordinary(found[rows], scored.seconds[rows], scored.clip[rows]), angry)


def steadiness(judged: Judged) -> dict:
    """Share of test segments whose label changes with the condition, before packing."""
    rows, result = judged.role == "test", {}
    acted, clean = rows & (judged.target >= 0), judged.logits["clean"].argmax(1)
    for condition in STEADY:
        if condition in judged.logits:
            other = clean != judged.logits[condition].argmax(1)
            ordinary = rows & judged.ordinary
            result[condition] = {
                "acted": round(float(other[acted].mean()), 4),
                "ordinary": round(float(other[ordinary].mean()), 4),
            }
    return result


def left_out(path: Path, clips: list[Clip], audio: Audio, corpus: str, calibration: dict) -> dict:
    """Figures of a corpus under a run that never saw it, before packing, with the calibration that is shipped."""
    judged = Judged.read(path, clips, audio)
    rows, result = (judged.corpus == corpus) & (judged.target >= 0), {}
    for condition in ("clean", "line"):
        found = np.zeros((int(rows.sum()), len(LABELS)))
        found[:, NINE] = scores(
            judged.logits[condition][rows], calibration["temperature"], calibration["neutral_deduction"]
        )
        target = NINE[judged.target[rows]]
        result[condition] = recall_figures(found, target) | {
            "recall": {
                name: round(float((found[target == n].argmax(1) == n).mean()), 4)
                for n, name in enumerate(LABELS)
                if (target == n).any()
            },
            "risk_coverage": risk_coverage(found, target),
        }
    return result


def runs_without(start: str, clips: list[Clip], audio: Audio, work: Path, calibration: dict) -> dict:
    """left_out() of every file of judge.py that begins with `start` and goes on with the corpus that was left out."""
    named = {path.stem.removeprefix(start): path for path in sorted(work.glob(f"{start}*.npz"))}
    return {corpus: left_out(path, clips, audio, corpus, calibration) for corpus, path in named.items()}


def margins(judged: Judged, calibration: dict) -> dict:
    """What the sound kept round speech does, before packing: recall of CREMA-D's test speakers, and ordinary speech
    taken for anger."""
    rows, result = (judged.corpus == "crema_d") & (judged.role == "test") & (judged.target >= 0), {}
    for condition, logits in judged.logits.items():
        if condition == "clean" or condition.startswith("margin"):
            found = scores(logits, *(calibration[name] for name in CALIBRATED))
            counts = confusion(judged.target[rows], found[rows].argmax(1), len(KNOWN))
            calm = Ordinary(found[judged.ordinary], judged.seconds[judged.ordinary], judged.clip[judged.ordinary])
            result["margin 0.1" if condition == "clean" else condition] = {
                "crema_d_unweighted_accuracy": round(unweighted_accuracy(counts), 4),
                "ordinary_predicted_angry": round(calm.predicted_angry(), 4),
                "ordinary_at_0.6": round(calm.at(0.6), 4),
            }
    return result


def speed(models: list[Scorer], wave: np.ndarray, repeats: int) -> dict:
    """Seconds per run and, with a second model, the ratio of the first to it."""
    result = {}
    for seconds in (1, 3, 10, 30):
        took = seconds_per_run(models, wave[: seconds * SAMPLE_RATE], repeats)
        result[f"{seconds} s"] = {"times_real_time": round(seconds / took[0], 1)}
        if len(took) > 1:
            result[f"{seconds} s"]["time_beside_previous"] = round(took[0] / took[1], 3)
    return result


def evaluate(clips: list[Clip], work: Path, out: Path, previous: Path | None, repeats: int = 40) -> None:
    audio, calibration = Audio(work), json.loads((work / "calibration.json").read_text())
    scored = {"shipped": Scored(clips, audio, out / "model.onnx", work)}
    if previous:
        scored["previous"] = Scored(clips, audio, previous / "model.onnx", work)
    one, judged = scored["shipped"], Judged.read(work / "judged-student.npz", clips, audio)
    speech = np.concatenate([audio.wave(n) for n in one.number[:30]])
    report: dict = {
        "scored_against": "the emotion that the actor intended; ordinary speech: nobody is angry",
        "labels": LABELS,
        "calibration": calibration,
        "bytes": (out / "model.onnx").stat().st_size,
        "batch_minus_single": batch_difference(one.scorer, [audio.wave(n) for n in one.number[:64:4]]),
        "speed_one_thread": speed([each.scorer for each in scored.values()], speech, repeats),
        "left_out": runs_without("judged-loco-", clips, audio, work, calibration),
        "left_out_first_recipe_only": runs_without("judged-short-", clips, audio, work, calibration),
        "margins": margins(judged, calibration),
        "labels_changed": steadiness(judged),
    }
    for name, each in scored.items():
        report[name] = {
            condition: {
                "false_alarms": false_alarms(each, condition),
                "operating_curve": curve(each, condition),
                "acted": {
                    corpus: recall_figures(each.scores(condition)[rows], each.target[rows])
                    for corpus in ACTED
                    for rows in [(each.corpus == corpus) & (each.target >= 0)]
                },
            }
            for condition in ("clean", "line")
        }
        acted = [report[name][condition]["acted"][corpus] for condition in ("clean", "line") for corpus in ACTED]
        report[name]["mean_ece"] = round(float(np.mean([one["ece"] for one in acted])), 4)
        (out / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--previous", type=Path, help="folder of an earlier model.onnx, to be scored beside this one")
    parser.add_argument("--repeats", type=int, default=40, help="runs that the speed is the fastest of")
    arguments = parser.parse_args()
    clips = read_clips(data_dir(arguments.data))
    evaluate(clips, arguments.work, arguments.out, arguments.previous, arguments.repeats)
