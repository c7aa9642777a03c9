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


def evaluate(clips: list[Clip], audio: Audio, out: Path, calibration: dict) -> dict:
    temperature = calibration["temperature"]
    report: dict = {"scored_against": "the emotion that the actor intended", "calibration": calibration, "test": {}}
    shipped = Scorer(out / "model.onnx")
    for version, name in (("shipped", "model.onnx"), ("float", "model.float.onnx")):
        scorer = Scorer(out / name)
        for corpus in ("crema_d", "emodb", "aishell"):
            chosen = indices(clips, "test", corpus)
            targets = np.array([clips[i].target for i in chosen])
            for condition in ("clean", "line"):
                waves = [audio[i] if condition == "clean" else evaluation_line(audio[i], int(i)) for i in chosen]
                logits = scorer.logits(waves)
                report["test"].setdefault(corpus, {}).setdefault(condition, {})[version] = figures(logits, targets, temperature)
                if (version, corpus, condition) == ("shipped", "crema_d", "clean"):
                    report["crema_d_against_crowd"] = crowd(clips, chosen, logits)
                print(corpus, condition, version, report["test"][corpus][condition][version], flush=True)
    test = indices(clips, "test", "crema_d")
    waves, targets = joined(clips, audio, test)
    report["test"]["crema_d"]["long"] = {"shipped": figures(shipped.logits(waves), targets, temperature)}
    mixed = [audio[i] for i in test[:64:4]]
    report["batch_minus_single"] = batch_difference(shipped, mixed)
    speech = np.concatenate([audio[i] for i in test[:20]])
    report["times_real_time_one_thread"] = {f"{s} s": speed(shipped, speech[: s * 16000]) for s in (3, 10, 30)}
    report["bytes"] = (out / "model.onnx").stat().st_size
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = evaluate(
        read_clips(data_dir(arguments.data)), Audio(arguments.work), arguments.out,
        json.loads((arguments.work / "calibration.json").read_text()),
    )
    (arguments.out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
