"""What a work folder keeps is only gone on with by those recordings and settings that it was made from."""

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainer import audio, segmenter
from trainer.advise import advise
from trainer.audio import Audio, cut
from trainer.calibrate import calibrate
from trainer.codecs import code_all
from trainer.corpus import Clip
from trainer.evaluate import evaluate
from trainer.judge import judge
from trainer.recipe import RECIPES
from trainer.student import SMALL
from trainer.train import Run
from trainer.voice_activity import CHUNK

RATE = 16000
REFUSED = r"another --out \(or --work\)"


def with_first(clips: list[Clip], **values: object) -> list[Clip]:
    return [dataclasses.replace(clips[0], **values), *clips[1:]]


# Each gives other emotions, speakers or roles to the segments, or leaves some without a recording.
CHANGES = {
    "a recording is added": lambda clips: [dataclasses.replace(clips[0], speaker="new"), *clips],
    "a recording is removed": lambda clips: clips[1:],
    "the last recording is removed": lambda clips: clips[:-1],
    "recordings are in another order": lambda clips: clips[::-1],
    "a recording takes the place of another": lambda clips: with_first(clips, path=clips[0].path.with_name("new.wav")),
    "another channel": lambda clips: with_first(clips, channel=1),
    "another speaker": lambda clips: with_first(clips, speaker="new"),
    "another label": lambda clips: with_first(clips, emotion="sad"),
    "another role": lambda clips: with_first(clips, role="test"),
}


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """Four recordings that are speech from end to end."""
    monkeypatch.setattr(audio, "Silero", lambda: None)
    monkeypatch.setattr(
        audio, "probabilities", lambda _, waves: [np.full(-(-len(wave) // CHUNK), 0.9) for wave in waves]
    )
    root = tmp_path / "data" / "speech"
    root.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(4):
        soundfile.write(root / f"{number}.wav", generator.uniform(-0.5, 0.5, (RATE * (number + 1), 2)), RATE)
    return tmp_path / "data"


def clips_of(data: Path) -> list[Clip]:
    return [Clip(data / "speech" / f"{n}.wav", "crema_d", str(n), "angry", 1.0, "train", "acted") for n in range(4)]


@pytest.fixture
def work(tmp_path, data) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    cut(clips_of(data), folder)
    return folder


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Gives a setting of [segment] another value; the settings are read once a program."""

    def change(before: str, after: str) -> None:
        text = segmenter.SETTINGS.read_text()
        assert before in text
        (tmp_path / "default.toml").write_text(text.replace(before, after))
        monkeypatch.setattr(segmenter, "SETTINGS", tmp_path / "default.toml")
        segmenter.served.cache_clear()

    yield change
    segmenter.served.cache_clear()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_recordings_that_changed_end_the_cutting_with_advice(data, work, change):
    kept = (work / "segments.npz").read_bytes()
    with pytest.raises(SystemExit, match=REFUSED):
        cut(change(clips_of(data)), work)
    assert (work / "segments.npz").read_bytes() == kept
    cut(clips_of(data), work)


def test_settings_of_the_cutting_that_changed_end_it_with_advice(data, work, settings):
    settings("padding_s = 0.2", "padding_s = 0.3")
    with pytest.raises(SystemExit, match=r"\[segment\].*" + REFUSED):
        cut(clips_of(data), work)


STAGES = {
    "train": lambda clips, work, out: Run(clips, work, RECIPES["teacher"], SMALL, "cpu", "teacher"),
    "judge": lambda clips, work, out: judge(clips, work, ["student"], "cpu", 1, ["clean"]),
    "calibrate": lambda clips, work, out: calibrate(clips, work, out),
    "advise": lambda clips, work, out: advise(clips, work, out),
    "evaluate": lambda clips, work, out: evaluate(clips, work, out, None),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_each_stage_alone_refuses_recordings_that_were_not_cut(data, work, tmp_path, stage):
    with pytest.raises(SystemExit, match=REFUSED):
        stage(clips_of(data)[1:], work, tmp_path)


def test_segments_that_do_not_say_what_they_are_made_from_are_refused(data, work):
    (work / "origin.json").unlink()
    with pytest.raises(SystemExit, match=REFUSED):
        cut(clips_of(data), work)


def test_sound_through_codecs_is_not_kept_beside_segments_of_other_recordings(data, work):
    code_all(work, 11, 1)
    for name in ("audio.npy", "segments.npz"):
        (work / name).unlink()
    with pytest.raises(SystemExit, match=REFUSED):
        cut(clips_of(data)[1:], work)


def test_a_cutting_that_was_stopped_may_begin_with_other_recordings(data, work):
    (work / "segments.npz").unlink()
    fewer = clips_of(data)[1:]
    cut(fewer, work)
    assert Audio.of(fewer, work).clip.max() == 2


def test_the_same_recordings_may_lie_elsewhere(data, work, tmp_path):
    shutil.copytree(data, tmp_path / "moved")
    cut(clips_of(tmp_path / "moved"), work)
    assert len(Audio.of(clips_of(tmp_path / "moved"), work)) >= 4
