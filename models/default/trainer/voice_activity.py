"""Voice activity as the worker detects it (crates/speech/src/audio/vad/second_pass.rs): Silero, with a second pass at
half speed where sound is loud.

Many recordings are judged side by side, each with the state of its own, so an hour takes seconds.
"""

from pathlib import Path

import numpy as np
import onnxruntime

CHUNK = 512
CONTEXT = 64
BRIDGED = 8
THRESHOLD = 0.5
SCREAM_DBFS = -40.0
LOUD = np.float32(10 ** (SCREAM_DBFS / 20))
TOGETHER = 64


def silero_path() -> Path:
    """The network's file in the installed package `silero-vad`, which is not imported: that would import torchaudio."""
    import importlib.util

    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        raise SystemExit("the package silero-vad is missing; install requirements.lock")
    return Path(found.origin).parent / "data" / "silero_vad.onnx"


class State:
    """What the network remembers of `count` recordings: state [2, count, 128] and the last 64 samples [count, 64]."""

    def __init__(self, count: int):
        self.memory = np.zeros((2, count, 128), np.float32)
        self.context = np.zeros((count, CONTEXT), np.float32)

    def clear(self, rows: np.ndarray) -> None:
        self.memory[:, rows] = 0.0
        self.context[rows] = 0.0


class Silero:
    """The ONNX network on one thread."""

    def __init__(self, path: Path | None = None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path or silero_path(), options, providers=["CPUExecutionProvider"])

    def probability(self, state: State, rows: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        """Probability of speech [rows] in `chunks` [rows, 512]; the rows' state moves on."""
        inputs = np.concatenate([state.context[rows], chunks], axis=1)
        given = {"input": inputs, "state": state.memory[:, rows], "sr": np.array(16000, np.int64)}
        probability, state.memory[:, rows] = self.session.run(["output", "stateN"], given)
        state.context[rows] = chunks[:, -CONTEXT:]
        return probability[:, 0]


def probabilities(silero: Silero, waves: list[np.ndarray]) -> list[np.ndarray]:
    """Per wave (16 kHz, float32) the probability of speech in each 32 ms; the last chunk is filled with zeros."""
    results: list[np.ndarray] = [np.zeros(0)] * len(waves)
    order = np.argsort([-len(wave) for wave in waves], kind="stable")
    for start in range(0, len(order), TOGETHER):
        group = order[start : start + TOGETHER]
        for number, found in zip(group, _side_by_side(silero, [waves[i] for i in group]), strict=True):
            results[number] = found
    return results


def _side_by_side(silero: Silero, waves: list[np.ndarray]) -> list[np.ndarray]:
    """`waves` come longest first."""
    counts = np.array([-(-len(wave) // CHUNK) for wave in waves])
    out = np.zeros((len(waves), max(1, counts.max(initial=0))), np.float32)
    first, second = State(len(waves)), State(len(waves))
    before, last = np.zeros(len(waves), np.float32), np.zeros(len(waves), np.float32)
    quiet = np.full(len(waves), 2**31, np.int64)
    for step in range(counts.max(initial=0)):
        rows = np.arange(int((counts > step).sum()))
        chunks = np.zeros((len(rows), CHUNK), np.float32)
        for row in rows:
            piece = waves[row][step * CHUNK : (step + 1) * CHUNK]
            chunks[row, : len(piece)] = piece
        at_speed = silero.probability(first, rows, chunks)
        loud = np.sqrt((chunks**2).mean(1)) > LOUD
        quiet[rows] = np.where(loud, 0, quiet[rows] + 1)
        slow = slowed(before[rows], chunks)
        before[rows] = chunks[:, -1]
        speech = at_speed >= THRESHOLD
        last[rows[speech]] = at_speed[speech]
        silent = rows[~speech & (quiet[rows] > BRIDGED)]
        second.clear(silent)
        last[silent] = 0.0
        out[rows, step] = at_speed
        again = rows[~speech & (quiet[rows] <= BRIDGED)]
        if len(again):
            begins = silero.probability(second, again, slow[again, :CHUNK])
            sure = np.minimum(begins, silero.probability(second, again, slow[again, CHUNK:]))
            out[again, step] = np.maximum(at_speed[again], np.minimum(sure, last[again]))
            last[again] = sure
    return [out[row, : counts[row]] for row in range(len(waves))]


def slowed(before: np.ndarray, chunks: np.ndarray) -> np.ndarray:
    """Chunks [n, 512] at half speed [n, 1024]: between every two samples comes their mean."""
    shifted = np.concatenate([before[:, None], chunks[:, :-1]], axis=1)
    out = np.empty((len(chunks), 2 * CHUNK), np.float32)
    out[:, 0::2] = (shifted + chunks) / 2
    out[:, 1::2] = chunks
    return out
