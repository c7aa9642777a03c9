"""An exported model on one thread, and how fast it is."""

import time
from pathlib import Path

import numpy as np
import onnxruntime

RATE = 16000
OUTPUTS = ["logits", "embedding", "frames", "frame_logits"]


class Scorer:
    """One ONNX file under the model contract."""

    def __init__(self, path: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def outputs(self, waves: list[np.ndarray], names: list[str] = OUTPUTS) -> dict[str, np.ndarray]:
        """Waves of any lengths as one zero-padded batch."""
        lengths = np.array([max(len(w), 400) for w in waves], np.int64)
        waveform = np.zeros((len(waves), lengths.max()), np.float32)
        for row, wave in enumerate(waves):
            waveform[row, : len(wave)] = wave
        return dict(zip(names, self.session.run(names, {"waveform": waveform, "lengths": lengths}), strict=True))

    def logits(self, waves: list[np.ndarray]) -> np.ndarray:
        """Nine logits a wave [n, 9], each wave on its own."""
        return np.concatenate([self.outputs([wave], ["logits"])["logits"] for wave in waves])


def seconds_per_run(scorers: list[Scorer], wave: np.ndarray, repeats: int = 40) -> list[float]:
    """Of each scorer the fastest of `repeats` runs, taken in turn, so that a loaded machine slows all of them alike."""
    best = [np.inf] * len(scorers)
    for _ in range(repeats):
        for n, scorer in enumerate(scorers):
            started = time.perf_counter()
            scorer.outputs([wave], ["logits"])
            best[n] = min(best[n], time.perf_counter() - started)
    return best


def batch_difference(scorer: Scorer, waves: list[np.ndarray]) -> dict[str, float]:
    """Largest |batch - single| of each output over the valid frames."""
    together, worst = scorer.outputs(waves), dict.fromkeys(OUTPUTS, 0.0)
    for row, wave in enumerate(waves):
        alone, frames = scorer.outputs([wave]), (len(wave) - 400) // 320 + 1
        for name in worst:
            ours = together[name][row] if together[name].ndim == 2 else together[name][row, :frames]
            worst[name] = max(worst[name], float(np.abs(ours - alone[name][0]).max()))
    return worst
