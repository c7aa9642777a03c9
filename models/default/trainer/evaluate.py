"""Scores the exported model on speakers that nothing else has touched, and writes metrics.json.

Conditions: `clean`, as recorded; `line`, a telephone line (telephone.evaluation_line); `long`, utterances of one speaker
and emotion joined to about ten seconds, the length of a call's segments. Labels are what the actor intended.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime

from .audio import Audio
from .corpus import Clip, data_dir, indices, read_clips
from .labels import KNOWN, KNOWN_INDEX
from .metrics import calibration_error, confusion, softmax, unweighted_accuracy, weighted_accuracy
from .telephone import evaluation_line


class Scorer:
    """One ONNX file on one thread."""

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def outputs(self, waves: list[np.ndarray]) -> dict[str, np.ndarray]:
        lengths = np.array([len(w) for w in waves], np.int64)
        waveform = np.zeros((len(waves), lengths.max()), np.float32)
        for row, wave in enumerate(waves):
            waveform[row, : len(wave)] = wave
        names = ["logits", "embedding", "frames", "frame_logits"]
        return dict(zip(names, self.session.run(names, {"waveform": waveform, "lengths": lengths}), strict=True))

    def logits(self, waves: list[np.ndarray]) -> np.ndarray:
        """Nine logits a wave, each wave on its own as the reference for batches."""
        return np.concatenate([self.outputs([wave])["logits"] for wave in waves])


def figures(logits: np.ndarray, targets: np.ndarray, temperature: float) -> dict:
    """`logits` [n, 9] as exported, with the temperature folded in; ECE is over all nine classes."""
    table = confusion(targets, logits[:, KNOWN_INDEX].argmax(1), len(KNOWN))
    nine = np.array(KNOWN_INDEX)[targets]
    return {
        "clips": len(targets),
        "unweighted_accuracy": round(unweighted_accuracy(table), 4),
        "weighted_accuracy": round(weighted_accuracy(table), 4),
        "ece_uncalibrated": round(calibration_error(softmax(logits * temperature), nine), 4),
        "ece": round(calibration_error(softmax(logits), nine), 4),
        "labels": KNOWN,
        "confusion": table.tolist(),
    }


def joined(clips: list[Clip], audio: Audio, chosen: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Waves of about ten seconds, each of one speaker and one emotion, and their targets."""
    waves, targets = [], []
    groups: dict[tuple[str, int], list[int]] = {}
    for i in chosen:
        groups.setdefault((clips[i].speaker, clips[i].target), []).append(int(i))
    for (_, target), members in groups.items():
        for start in range(0, len(members) - 3, 4):
            waves.append(np.concatenate([audio[i] for i in members[start : start + 4]]))
            targets.append(target)
    return waves, np.array(targets)


def crowd(clips: list[Clip], chosen: np.ndarray, logits: np.ndarray) -> dict:
    """The same predictions against what listeners heard in the audio alone, where one emotion has most of the votes."""
    votes = np.array([clips[i].votes for i in chosen])
    clear = (votes == votes.max(1, keepdims=True)).sum(1) == 1
    heard, predicted = votes.argmax(1)[clear], logits[:, KNOWN_INDEX].argmax(1)[clear]
    intended = np.array([clips[i].target for i in chosen])[clear]
    return {
        "clips": int(clear.sum()),
        "model_unweighted_accuracy": round(unweighted_accuracy(confusion(heard, predicted, len(KNOWN))), 4),
        "model_weighted_accuracy": round(float((heard == predicted).mean()), 4),
        "crowd_unweighted_accuracy_against_intended": round(unweighted_accuracy(confusion(intended, heard, len(KNOWN))), 4),
    }


def speed(scorer: Scorer, wave: np.ndarray, repeats: int = 9) -> float:
    """Seconds of audio per second on one thread, median."""
    scorer.logits([wave])
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        scorer.logits([wave])
        times.append(time.perf_counter() - started)
    return round(len(wave) / 16000 / float(np.median(times)), 1)


def batch_difference(scorer: Scorer, waves: list[np.ndarray]) -> dict[str, float]:
    """Largest |batch - single| of each output over the valid frames."""
    together, worst = scorer.outputs(waves), dict.fromkeys(("logits", "embedding", "frames", "frame_logits"), 0.0)
    for row, wave in enumerate(waves):
        alone, frames = scorer.outputs([wave]), (len(wave) - 400) // 320 + 1
        for name in worst:
            ours = together[name][row] if together[name].ndim == 2 else together[name][row, :frames]
            worst[name] = max(worst[name], float(np.abs(ours - alone[name][0]).max()))
    return worst


def test_clips(clips: list[Clip], corpus: str) -> np.ndarray:
    """All acted test clips; every fourth of the reader's 500 sentences, which are all alike neutral."""
    return indices(clips, "test", corpus)[:: 4 if corpus == "aishell" else 1]


def evaluate(clips: list[Clip], audio: Audio, out: Path, calibration: dict) -> None:
    """Writes metrics.json anew after each part, since the whole takes minutes."""
    temperature = calibration["temperature"]
    shipped, test = Scorer(out / "model.onnx"), test_clips(clips, "crema_d")
    speech = np.concatenate([audio[i] for i in test[:20]])
    report: dict = {
        "scored_against": "the emotion that the actor intended",
        "calibration": calibration,
        "bytes": (out / "model.onnx").stat().st_size,
        "batch_minus_single": batch_difference(shipped, [audio[i] for i in test[:64:4]]),
        "times_real_time_one_thread": {f"{s} s": speed(shipped, speech[: s * 16000]) for s in (3, 10, 30)},
        "test": {},
    }

    def note(corpus: str, condition: str, version: str, logits: np.ndarray, targets: np.ndarray) -> None:
        found = figures(logits, targets, temperature)
        report["test"].setdefault(corpus, {}).setdefault(condition, {})[version] = found
        (out / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")
        print(corpus, condition, version, {k: v for k, v in found.items() if k not in ("labels", "confusion")}, flush=True)

    plan = [("crema_d", "model.onnx"), ("emodb", "model.onnx"), ("aishell", "model.onnx"), ("crema_d", "model.float.onnx")]
    for corpus, name in plan:
        scorer, chosen = Scorer(out / name), test_clips(clips, corpus)
        targets = np.array([clips[i].target for i in chosen])
        version = "float" if "float" in name else "shipped"
        for condition in ("clean", "line"):
            waves = [audio[i] if condition == "clean" else evaluation_line(audio[i], int(i)) for i in chosen]
            logits = scorer.logits(waves)
            if (corpus, condition, version) == ("crema_d", "clean", "shipped"):
                report["crema_d_against_crowd"] = crowd(clips, chosen, logits)
            note(corpus, condition, version, logits, targets)
        if (corpus, version) == ("crema_d", "shipped"):
            waves, targets = joined(clips, audio, chosen)
            note(corpus, "long", version, scorer.logits(waves), targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    evaluate(
        read_clips(data_dir(arguments.data)), Audio(arguments.work), arguments.out,
        json.loads((arguments.work / "calibration.json").read_text()),
    )
