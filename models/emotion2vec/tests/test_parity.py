"""The exported model answers as FunASR does, for lengths and neighbours of every kind."""

import numpy as np
import pytest
from exporter.speech import read, synthesise

LIMIT = 1e-4
# The shortest input, one sample around the second frame, and lengths far beyond everyday segments.
LENGTHS = [400, 401, 719, 720, 721, 16_000, 100_001, 30 * 16_000]


def noise(samples: int, seed: int = 3) -> np.ndarray:
    """With an offset and a level of its own, which the graph has to normalise away."""
    source = np.random.default_rng(seed + samples)
    return (source.normal(0.02, 0.1, samples) * np.sin(np.arange(samples) / 900)).astype(np.float32)


@pytest.mark.parametrize("samples", LENGTHS)
def test_scores_and_features_equal_funasr(exported, samples):
    waveform = noise(samples)
    expected = exported.reference.answer(waveform)

    output = exported.model.run([waveform])

    assert output.frames.shape == (1, *expected.frames.shape)
    np.testing.assert_allclose(output.scores[0], expected.scores, atol=LIMIT, rtol=0)
    np.testing.assert_allclose(output.embedding[0], expected.embedding, atol=LIMIT, rtol=0)
    np.testing.assert_allclose(output.frames[0], expected.frames, atol=LIMIT, rtol=0)


def test_files_read_by_funasr_itself_get_the_same_scores(exported, tmp_path):
    for path in synthesise(tmp_path, [1.0, 4.2], seed=99):
        expected = exported.reference.answer_file(path)

        output = exported.model.run([read(path).waveform])

        np.testing.assert_allclose(output.scores[0], expected.scores, atol=LIMIT, rtol=0)


def test_a_batch_of_unequal_lengths_equals_the_singles(exported):
    waveforms = [noise(samples) for samples in (400, 64_000, 719, 33_333)]

    batch = exported.model.run(waveforms)

    for row, waveform in enumerate(waveforms):
        single = exported.model.run([waveform])
        frames = single.frames.shape[1]
        np.testing.assert_allclose(batch.scores[row], single.scores[0], atol=LIMIT, rtol=0)
        np.testing.assert_allclose(batch.embedding[row], single.embedding[0], atol=LIMIT, rtol=0)
        np.testing.assert_allclose(batch.frames[row, :frames], single.frames[0], atol=LIMIT, rtol=0)
        np.testing.assert_allclose(batch.frame_logits[row, :frames], single.frame_logits[0], atol=LIMIT, rtol=0)
        assert not batch.frames[row, frames:].any()
        assert not batch.frame_logits[row, frames:].any()


def test_what_lies_behind_the_length_is_not_heard(exported):
    waveform = noise(20_000)
    clean = exported.model.run([waveform])
    dirty = np.concatenate([waveform, np.full(9_000, 0.9, dtype=np.float32)])

    logits, frames = exported.model.session.run(
        ["logits", "frames"], {"waveform": dirty[None], "lengths": np.array([20_000])}
    )

    np.testing.assert_allclose(logits, clean.logits, atol=LIMIT, rtol=0)
    np.testing.assert_allclose(frames[:, : clean.frames.shape[1]], clean.frames, atol=LIMIT, rtol=0)


def test_the_mean_of_frame_logits_is_the_logits(exported):
    output = exported.model.run([noise(50_000)])

    np.testing.assert_allclose(output.frame_logits[0].mean(axis=0), output.logits[0], atol=LIMIT, rtol=0)


def test_silence_gets_an_answer(exported):
    output = exported.model.run([np.zeros(16_000, dtype=np.float32)])

    expected = exported.reference.answer(np.zeros(16_000, dtype=np.float32))
    np.testing.assert_allclose(output.scores[0], expected.scores, atol=LIMIT, rtol=0)
