"""The trainer's cutting is the worker's: the same cases, with the same answers, as
crates/speech/src/audio/vad/segmenter_tests.rs."""

import dataclasses

import numpy as np
import pytest
from trainer.segmenter import QUIET, RATE, Rules, Segment, segments, served
from trainer.voice_activity import CHUNK, slowed

# As in the worker's test: the cases were written with this margin.
RULES = dataclasses.replace(served(), padding=RATE // 10)


def script(*parts: tuple[float, bool]) -> np.ndarray:
    """A recording of spans: seconds, and whether they are speech."""
    waves = [0.3 * np.sin(0.2 * np.arange(int(seconds * RATE))) * speech for seconds, speech in parts]
    return np.concatenate([*waves, np.zeros(0)]).astype(np.float32)


def cut(wave: np.ndarray, rules: Rules = RULES) -> list[Segment]:
    """Speech is wherever it is not silent."""
    chunks = [wave[start : start + CHUNK] for start in range(0, len(wave), CHUNK)]
    return segments(wave, np.array([0.95 if np.abs(chunk).max() > 0.01 else 0.02 for chunk in chunks]), rules)


def spans(wave: np.ndarray) -> list[tuple[float, float]]:
    """Start and length in seconds, to a tenth."""
    return [(round(s.start / RATE, 1), round((s.end - s.start) / RATE, 1)) for s in cut(wave)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(20.0, False)], []),
        ([], []),
        ([(0.5, False), (1.5, True), (0.5, False)], [(0.4, 1.7)]),
        ([(1.0, True), (0.5, False), (1.0, True), (4.0, False), (1.0, True)], [(0.0, 2.6), (6.4, 1.1)]),
        ([(1.0, False), (0.15, True), (1.0, False), (3.0, True), (2.0, False)], [(2.0, 3.2)]),
        ([(1.0, False), (0.15, True), (1.0, False), (20.0, False)], []),
    ],
)
def test_what_is_cut_is_what_the_worker_cuts(parts, expected):
    assert spans(script(*parts)) == expected


def test_margins_are_those_that_the_worker_serves():
    """config/default.toml says how much sound is kept round speech; the card's figures are with that."""
    wave = script((1.0, False), (2.0, True), (1.0, False))
    (found,) = cut(wave, served())
    assert served().padding == round(0.2 * RATE), "measure the card again where the worker's margin changes"
    assert found.speech_start - found.start == found.end - found.speech_end == served().padding


def test_talk_is_cut_at_its_longest_pause():
    wave = script((2.0, True), (0.4, False), (3.0, True), (0.8, False), (2.5, True), (0.4, False), (4.0, True))
    assert spans(wave)[0] == (0.0, 5.5) and len(spans(wave)) == 2


def test_speech_without_a_pause_is_cut_at_its_quietest_point():
    wave = script((70.0, True))
    wave[25 * RATE : 25 * RATE + QUIET] *= 0.1
    found = cut(wave)
    assert spans(wave)[0] == (0.0, 25.0)
    assert sum(s.end - s.start for s in found) == len(wave)


def test_half_speed_keeps_every_sample_and_goes_on_from_the_chunk_before():
    out = slowed(np.array([-2.0]), np.arange(CHUNK, dtype=np.float32)[None])
    assert out[0, :4].tolist() == [-1.0, 0.0, 0.5, 1.0]
    assert np.array_equal(out[0, 1::2], np.arange(CHUNK))
