import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

FOLDER = Path(__file__).resolve().parent.parent
# The trainer's modules that need no torch are tested too.
sys.path.insert(0, str(FOLDER))


@pytest.fixture(scope="session")
def card() -> dict:
    return json.loads((FOLDER / "model.json").read_text())


@pytest.fixture(scope="session")
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def infer(session):
    """Waveforms of any lengths, as one zero-padded batch, to a dict of outputs by name."""

    def run(*waves: np.ndarray) -> dict[str, np.ndarray]:
        lengths = np.array([len(w) for w in waves], np.int64)
        waveform = np.zeros((len(waves), lengths.max()), np.float32)
        for row, wave in enumerate(waves):
            waveform[row, : len(wave)] = wave
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"waveform": waveform, "lengths": lengths}), strict=True))

    return run


@pytest.fixture
def voice():
    """A voice-like signal: a gliding pulse train with a syllable rhythm and some breath noise."""

    def make(samples: int, seed: int = 0) -> np.ndarray:
        generator = np.random.default_rng(seed)
        time = np.arange(samples) / 16000
        pitch = generator.uniform(90, 250) * (1 + 0.2 * np.sin(2 * np.pi * generator.uniform(0.3, 2) * time))
        phase = 2 * np.pi * np.cumsum(pitch) / 16000
        tone = sum(np.sin(h * phase) / h for h in range(1, 20))
        rhythm = 0.55 + 0.45 * np.sin(2 * np.pi * generator.uniform(2, 5) * time)
        return (0.05 * tone * rhythm + 0.002 * generator.standard_normal(samples)).astype(np.float32)

    return make
