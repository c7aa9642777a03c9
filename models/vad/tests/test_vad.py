"""The committed graph against Silero's own, chunk by chunk, with the Fourier transform that the worker does before it.

Needs numpy, onnxruntime, espeak-ng and ffmpeg, and `silero_vad.onnx` of the PyPI package silero-vad in EMOFLEET_SILERO.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

RATE = 16_000
CHUNK = 512
CONTEXT = 64
WINDOWS, WINDOW, HOP = 4, 256, 128
LIMIT = 1e-4
COMMITTED = Path(__file__).parents[1] / "silero_vad_blocks.onnx"
# What Silero's own graph answers on `formula()`: the worker's tests compare theirs with it.
EXPECTED = Path(__file__).with_name("expected.json")


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def original() -> onnxruntime.InferenceSession:
    return session(Path(os.environ["EMOFLEET_SILERO"]))


@pytest.fixture(scope="module")
def blocks() -> onnxruntime.InferenceSession:
    return session(COMMITTED)


def framed(samples: np.ndarray) -> np.ndarray:
    """Chunks with their context, f32 [chunks, 576]."""
    count = len(samples) // CHUNK
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples[: count * CHUNK]])
    return np.stack([padded[n * CHUNK : n * CHUNK + CONTEXT + CHUNK] for n in range(count)])


def one_by_one(original: onnxruntime.InferenceSession, chunks: np.ndarray) -> np.ndarray:
    state, answers = np.zeros((2, 1, 128), np.float32), []
    for chunk in chunks:
        answer, state = original.run(None, {"input": chunk[None], "state": state, "sr": np.array(RATE)})
        answers.append(answer[0, 0])
    return np.array(answers)


def spectra(chunks: np.ndarray) -> np.ndarray:
    """Magnitudes of the four windows of each chunk, f32 [..., 576] to [..., 4, 129]; the chunk's end is reflected."""
    reflected = np.concatenate([chunks, chunks[..., -2 : -2 - CONTEXT : -1]], axis=-1)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.stack([reflected[..., n * HOP : n * HOP + WINDOW] for n in range(WINDOWS)], axis=-2)
    return np.abs(np.fft.rfft(windows * hann)).astype(np.float32)


def in_blocks(blocks: onnxruntime.InferenceSession, tracks: list[np.ndarray], size: int) -> np.ndarray:
    """Probabilities, f32 [chunks, tracks], of tracks of equal length."""
    magnitudes = spectra(np.stack(tracks, axis=1))
    hidden = cell = np.zeros((1, len(tracks), 128), np.float32)
    answers = []
    for start in range(0, len(magnitudes), size):
        inputs = {"magnitudes": magnitudes[start : start + size], "hidden": hidden, "cell": cell}
        answer, hidden, cell = blocks.run(None, inputs)
        answers.append(answer)
    return np.concatenate(answers)


SENTENCES = (
    "I have been waiting for twenty minutes, and nobody has told me anything.",
    "Thank you for calling. May I have your order number, please?",
    "No! This is the third time. Please put me through to your manager.",
)


def spoken(voice: int) -> np.ndarray:
    """Synthetic speech with pauses, over noise that comes and goes; f32 in [-1, 1], 16 kHz, 24 s."""
    words = ["espeak-ng", "-v", "en", "-p", str(30 + 25 * voice), "--stdout", " ... ".join(SENTENCES)]
    sound = subprocess.run(words, capture_output=True, check=True).stdout
    convert = ["ffmpeg", "-v", "quiet", "-i", "-", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    speech = np.frombuffer(subprocess.run(convert, input=sound, capture_output=True, check=True).stdout, np.float32)
    samples = np.zeros(24 * RATE, np.float32)
    start = RATE * (1 + voice)
    samples[start : start + len(speech)] = speech[: len(samples) - start]
    t = np.arange(len(samples)) / RATE
    noise = np.random.default_rng(voice).standard_normal(len(samples)) * 0.02 * (np.sin(0.6 * t) > 0)
    return np.clip(samples + noise, -1, 1).astype(np.float32)


def formula() -> np.ndarray:
    """Vowels with pauses and a little noise, by a formula that the worker's tests know as well (`silero_tests.rs`): the
    probability of speech is anything between 0 and 1. f32 in [-1, 1], 16 kHz, 8 s."""
    samples, noise = np.zeros(250 * CHUNK), 1
    for n in range(len(samples)):
        noise = (noise * 1_664_525 + 1_013_904_223) % 2**32
        samples[n] = 0.004 * (noise / 2**32 - 0.5)
    t = np.arange(len(samples)) / RATE
    pitch = 2 * np.pi * (110 * t - 3 * np.cos(4 * t))
    syllables = np.maximum(np.sin(16 * t), 0) * (np.sin(1.1 * t) > -0.3)
    for harmonic in range(1, 21):
        hertz = 110 * harmonic
        formants = ((550 + 250 * np.sin(9 * t), 60), (1_500 + 500 * np.sin(6.3 * t), 90), (2_500, 120))
        level = sum(1 / (1 + ((hertz - centre) / width) ** 2) for centre, width in formants)
        samples += 0.12 * syllables * level * np.sin(harmonic * pitch)
    return samples.astype(np.float32)


def test_the_answers_that_the_worker_is_compared_with_are_those_of_the_original(original, blocks):
    chunks = framed(formula())
    single, expected = one_by_one(original, chunks), np.array(json.loads(EXPECTED.read_text()))
    assert single.max() > 0.5 > single.min(), "not a test: always or never speech"
    assert np.abs(expected - single).max() < LIMIT / 10
    assert np.abs(in_blocks(blocks, [chunks], 32)[:, 0] - expected).max() < LIMIT


@pytest.mark.parametrize("size", [1, 7, 32])
def test_blocks_of_any_size_answer_as_single_chunks_do(original, blocks, size):
    chunks = framed(spoken(1))
    single = one_by_one(original, chunks)
    assert single.max() > 0.5 > single.min(), "not a test: always or never speech"
    assert np.abs(in_blocks(blocks, [chunks], size)[:, 0] - single).max() < LIMIT


def test_tracks_do_not_see_each_other(original, blocks):
    tracks = [framed(spoken(voice)) for voice in (0, 1, 2)]
    together = in_blocks(blocks, tracks, 32)
    for number, chunks in enumerate(tracks):
        assert np.abs(together[:, number] - one_by_one(original, chunks)).max() < LIMIT


def test_recordings(original, blocks):
    folder = os.environ.get("EMOFLEET_DATA")
    if not folder:
        pytest.skip("EMOFLEET_DATA names no folder of recordings")
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix in {".flac", ".opus", ".ogg", ".wav"})
    seconds, worst = 0.0, 0.0
    for path in files[:: max(1, len(files) // int(os.environ.get("EMOFLEET_VAD_FILES", "60")))]:
        command = ["ffmpeg", "-v", "quiet", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
        samples = np.frombuffer(subprocess.run(command, capture_output=True, check=False).stdout, np.float32)
        if len(samples) < CHUNK:
            continue
        chunks = framed(samples)
        seconds += len(samples) / RATE
        worst = max(worst, float(np.abs(in_blocks(blocks, [chunks], 32)[:, 0] - one_by_one(original, chunks)).max()))
    print(f"{seconds / 3600:.2f} hours, largest difference {worst:.1e}")
    assert seconds > 0
    assert worst < LIMIT
