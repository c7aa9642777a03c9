"""Scores the exported model on the test speakers, on segments as served, and writes metrics.json.

No test speaker teaches a network. But the addition to angry, `unknown` (calibrate.py) and the advised threshold
(advise.py) are chosen on these speakers: what is said of ordinary speech is no independent test of them.

Ordinary speech comes first: what of it is predicted to be angry. Acted speech is scored against what the actor
intended. Conditions are those of conditions.py; `line` is a telephone line. Scores are kept under --work, so that a
second call continues. Needs no checkpoint: what comes from runs without a corpus (judged-*.npz) is taken from the
metrics.json that is there, where those runs are gone.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from .advise import CONDITIONS, ordinary
from .alarms import ANGRY, Ordinary, advice, operating_curve, table
from .audio import SAMPLE_RATE, Audio
from .corpus import ACTED, SHARE_ALIKE, Clip, data_dir, read_clips
from .files import write
from .judged import Judged
from .labels import LABELS
from .metrics import calibrated, calibration_error, confusion, risk_coverage, unweighted_accuracy, weighted_accuracy
from .scored import MARGINS, NINE, SERVED_MARGIN, Scored
from .scorer import Scorer, batch_difference, seconds_per_run
from .segmenter import RATE, served

FOUR = ("angry", "happy", "neutral", "sad")
STEADY = ("compressor", "gate", "presence", "silence")
LEFT_OUT = {"left_out": "judged-loco-", "left_out_first_recipe_only": "judged-short-"}


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


def false_alarms(scored: Scored, condition: str, threshold: float) -> dict:
    found = scored.scores(condition)
    everything = Ordinary(found, scored.seconds, scored.clip)
    groups = {name: scored.corpus == name for name in sorted(set(scored.corpus[scored.ordinary]))}
    seen = scored.ordinary & ~np.isin(scored.corpus, [*SHARE_ALIKE, "calls"])
    unseen = scored.ordinary & np.isin(scored.corpus, [*SHARE_ALIKE, "calls"])
    groups |= {f"call {name}": scored.speaker == name for name in sorted(set(scored.speaker[scored.corpus == "calls"]))}
    groups |= {"corpora in training, other speakers": seen, "corpora not in training": unseen, "all": scored.ordinary}
    chosen = {name: rows & scored.ordinary for name, rows in groups.items()}
    return {name: table(everything.chosen(rows), threshold) for name, rows in chosen.items() if rows.any()}


def curve(scored: Scored, condition: str) -> list[dict]:
    found = scored.scores(condition)
    angry = {
        name: found[(scored.corpus == name) & (scored.target == ANGRY)]
        for name in ACTED
        if ((scored.corpus == name) & (scored.target == ANGRY)).any()
    }
    return operating_curve(ordinary(scored, condition), angry)


def steadiness(scored: Scored) -> dict:
    """Share of test segments whose label changes with the condition."""
    clean, result = scored.scores("clean").argmax(1), {}
    for condition in STEADY:
        other = clean != scored.scores(condition).argmax(1)
        result[condition] = {
            "acted": round(float(other[scored.target >= 0].mean()), 4),
            "ordinary": round(float(other[scored.ordinary].mean()), 4),
        }
    return result


def left_out(path: Path, clips: list[Clip], audio: Audio, corpus: str, calibration: dict) -> dict:
    """Figures of a corpus under a run that never saw it, before packing, with the calibration that is shipped."""
    judged = Judged.read(path, clips, audio)
    rows, result = (judged.corpus == corpus) & (judged.target >= 0), {}
    for condition in ("clean", "line"):
        found = np.zeros((int(rows.sum()), len(LABELS)))
        found[:, NINE] = calibrated(
            judged.logits[condition][rows],
            calibration["temperature"],
            calibration["neutral_deduction"],
            calibration["angry_addition"],
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


def margins(scored: Scored) -> dict:
    """What the sound kept round speech does: recall of CREMA-D's test speakers, and ordinary speech taken for anger."""
    rows, result = (scored.corpus == "crema_d") & (scored.target >= 0), {}
    for name, condition in ({SERVED_MARGIN: "clean"} | {name: name for name in MARGINS}).items():
        found = scored.scores(condition)
        counts = confusion(scored.target[rows], found[rows].argmax(1), len(LABELS))
        calm = ordinary(scored, condition)
        result[name] = {
            "crema_d_unweighted_accuracy": round(unweighted_accuracy(counts), 4),
            "ordinary_predicted_angry": round(calm.predicted_angry(), 4),
            "ordinary_at_0.6": round(calm.at(0.6), 4),
        }
    return dict(sorted(result.items()))


def speed(models: list[Scorer], wave: np.ndarray, repeats: int) -> dict:
    """Seconds per run and, with a second model, the ratio of the first to it."""
    result = {}
    for seconds in (1, 3, 10, 30):
        took = seconds_per_run(models, wave[: seconds * SAMPLE_RATE], repeats)
        result[f"{seconds} s"] = {"times_real_time": round(seconds / took[0], 1)}
        if len(took) > 1:
            result[f"{seconds} s"]["time_beside_previous"] = round(took[0] / took[1], 3)
    return result


def earlier(work: Path, out: Path) -> dict:
    """What the runs say that the model comes from: of this training, else of the metrics.json that is there."""
    path = out / "metrics.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    known = {name: found.get(name, {}) for name in ("calibration", "left_out_margin_s", *LEFT_OUT)}
    known["calibration"] = {name: value for name, value in known["calibration"].items() if name != "alerts"}
    calibration = work / "calibration.json"
    return known | ({"calibration": json.loads(calibration.read_text())} if calibration.exists() else {})


def evaluate(clips: list[Clip], work: Path, out: Path, previous: Path | None, repeats: int = 40) -> None:
    audio, runs = Audio.of(clips, work), earlier(work, out)
    for name, start in LEFT_OUT.items():
        if found := runs_without(start, clips, audio, work, runs["calibration"]):
            runs |= {name: found, "left_out_margin_s": served().padding / RATE}
    scored = {"shipped": Scored(clips, audio, out / "model.onnx", work)}
    if previous:
        scored["previous"] = Scored(clips, audio, previous / "model.onnx", work)
    one = scored["shipped"]
    alerts = advice([ordinary(one, condition) for condition in CONDITIONS])
    speech = np.concatenate([audio.wave(n) for n in one.number[:30]])
    report: dict = {
        "scored_against": "the emotion that the actor intended; ordinary speech: nobody is angry",
        "margin_s": served().padding / RATE,
        "labels": LABELS,
        "alerts": {"angry": alerts},
        "bytes": (out / "model.onnx").stat().st_size,
        "batch_minus_single": batch_difference(one.scorer, [audio.wave(n) for n in one.number[:64:4]]),
        "speed_one_thread": speed([each.scorer for each in scored.values()], speech, repeats),
        **runs,
        "margins": margins(one),
        "labels_changed": steadiness(one),
    }
    for name, each in scored.items():
        report[name] = {
            condition: {
                "false_alarms": false_alarms(each, condition, alerts["threshold"]),
                "operating_curve": curve(each, condition),
                "acted": {
                    corpus: recall_figures(each.scores(condition)[rows], each.target[rows])
                    for corpus in ACTED
                    for rows in [(each.corpus == corpus) & (each.target >= 0)]
                },
            }
            for condition in CONDITIONS
        }
        acted = [report[name][condition]["acted"][corpus] for condition in CONDITIONS for corpus in ACTED]
        report[name]["mean_ece"] = round(float(np.mean([one["ece"] for one in acted])), 4)
    text = json.dumps(report, indent=1) + "\n"
    write(out / "metrics.json", lambda file: file.write(text.encode()))


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
