"""The model contract of the architecture, held against the committed files. Needs numpy, onnxruntime and pytest
only."""

import hashlib
import os

import numpy as np
import pytest
from conftest import FOLDER

LABELS = ["angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "unknown"]
# Six million bytes: what the repository is willing to carry.
LARGEST_FILE = 6_000_000


def frames_of(samples: int) -> int:
    return (samples - 400) // 320 + 1


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_the_file_is_small_and_is_the_one_that_the_card_names(card):
    assert os.path.getsize(FOLDER / "model.onnx") <= LARGEST_FILE
    assert hashlib.sha256((FOLDER / "model.onnx").read_bytes()).hexdigest() == card["sha256"]


def test_the_card_tells_labels_rates_and_limits(card):
    assert card["labels"] == LABELS
    assert (card["sample_rate"], card["frame_rate"]) == (16000, 50)
    assert set(card["cannot_predict"]) < set(LABELS)
    assert card["parameters"] > 100_000 and card["temperature"] > 0
    assert card["name"] and card["version"] and card["licence"] and "CREMA-D" in card["attribution"]


def test_inputs_and_outputs_have_the_names_and_types_of_the_contract(session, card):
    inputs = {i.name: (i.type, len(i.shape)) for i in session.get_inputs()}
    assert inputs == {"waveform": ("tensor(float)", 2), "lengths": ("tensor(int64)", 1)}
    outputs = {o.name: (o.type, len(o.shape)) for o in session.get_outputs()}
    expected = {"logits": 2, "embedding": 2, "frames": 3, "frame_logits": 3}
    assert outputs == {name: ("tensor(float)", rank) for name, rank in expected.items()}


@pytest.mark.parametrize("samples", [400, 401, 719, 720, 721, 1040, 15999, 16000, 48000, 160000, 480000, 720000])
def test_every_length_gives_fifty_frames_a_second(infer, voice, card, samples):
    out = infer(voice(samples))
    frames, width = frames_of(samples), card["embedding_dim"]
    assert out["logits"].shape == (1, 9)
    assert out["embedding"].shape == (1, width)
    assert out["frames"].shape == (1, frames, width)
    assert out["frame_logits"].shape == (1, frames, 9)
    assert all(np.isfinite(value).all() for value in out.values())


def test_the_mean_over_frames_is_the_utterance(infer, voice):
    out = infer(voice(50_000))
    np.testing.assert_allclose(out["frames"].mean(1), out["embedding"], atol=1e-4)
    np.testing.assert_allclose(out["frame_logits"].mean(1), out["logits"], atol=1e-4)


def test_a_padded_batch_gives_what_single_clips_give(infer, voice):
    waves = [voice(samples, seed) for seed, samples in enumerate([400, 8_123, 40_000, 16_399, 96_001])]
    batch = infer(*waves)
    for row, wave in enumerate(waves):
        single, frames = infer(wave), frames_of(len(wave))
        for name in ("logits", "embedding"):
            np.testing.assert_allclose(batch[name][row], single[name][0], rtol=1e-4, atol=1e-4, err_msg=name)
        for name in ("frames", "frame_logits"):
            np.testing.assert_allclose(batch[name][row, :frames], single[name][0], rtol=1e-4, atol=1e-4, err_msg=name)
            assert not batch[name][row, frames:].any(), f"{name} past the end of clip {row}"


def test_what_lies_in_the_padding_does_not_matter(infer, session, voice):
    waveform = np.stack([voice(32_000), voice(32_000, 1)])
    lengths = np.array([32_000, 20_000], np.int64)
    (noisy,) = session.run(["logits"], {"waveform": waveform, "lengths": lengths})
    np.testing.assert_allclose(noisy[1], infer(waveform[1, :20_000])["logits"][0], atol=1e-4)


def test_the_gain_of_the_line_does_not_matter(infer, voice):
    wave = voice(48_000)
    for gain in (0.05, 0.3, 3.0):
        difference = softmax(infer(wave * gain)["logits"]) - softmax(infer(wave)["logits"])
        assert np.abs(difference).max() < 0.02, f"gain {gain}"


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-6, 1.0])
def test_silence_and_constants_give_finite_scores(infer, level):
    out = infer(np.full(16_000, level, np.float32))
    assert all(np.isfinite(value).all() for value in out.values())
    assert np.isclose(softmax(out["logits"]).sum(), 1.0)


def test_sound_that_is_no_speech_is_unknown(infer, card):
    time = np.arange(48_000) / 16_000
    dial = 0.1 * (np.sin(2 * np.pi * 697 * time) + np.sin(2 * np.pi * 1209 * time))
    for wave in (dial, 0.1 * np.sin(2 * np.pi * 440 * time), np.zeros(48_000)):
        scores = softmax(infer(wave.astype(np.float32))["logits"])[0]
        assert scores[LABELS.index("unknown")] > 0.9


def test_silence_around_speech_hardly_matters(infer, voice):
    """The worker cuts it away; scores with it are nearly the same."""
    wave, quiet = voice(48_000), 1e-4 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    alone, amid = (softmax(infer(w)["logits"]) for w in (wave, np.concatenate([quiet, wave, quiet])))
    assert np.abs(alone - amid).max() < 0.15


def test_frames_of_a_pause_carry_no_evidence(infer, voice):
    wave = voice(64_000)
    wave[24_000:40_000] = 0.0
    frames = infer(wave)["frames"][0]
    # Half a second in the middle of the second of silence.
    assert np.abs(frames[88:112]).max() < 1e-3 < np.abs(frames[20:60]).max()


def test_alert_thresholds_are_scores_with_the_alarms_they_cost(card):
    for label, advice in card["alerts"].items():
        assert label in LABELS and 0 < advice["threshold"] < 1 and advice["in_a_row"] >= 1
        assert advice["false_alarms_per_100_ordinary_calls"] >= 0


def test_classes_that_it_cannot_know_get_no_probability(infer, voice, card):
    scores = softmax(infer(voice(48_000))["logits"])[0]
    for name in card["cannot_predict"]:
        assert scores[LABELS.index(name)] < 1e-6, name


def test_the_same_input_gives_the_same_output(infer, voice):
    first, second = infer(voice(30_000)), infer(voice(30_000))
    assert all(np.array_equal(first[name], second[name]) for name in first)
