"""Scores that are kept belong to the model that they are asked of."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainer import scored
from trainer.audio import SAMPLE_RATE, Audio
from trainer.corpus import Clip

COUNT = 3
CLIPS = [Clip(Path(f"{n}.wav"), "crema_d", str(n), "angry", 1.0, "test", "acted") for n in range(COUNT)]


class Favourite:
    """A scorer whose model file holds the index of the label that it always predicts."""

    asked = 0

    def __init__(self, path: Path):
        self.label = int(path.read_text())

    def logits(self, waves: list[np.ndarray]) -> np.ndarray:
        Favourite.asked += 1
        return 9.0 * np.eye(9)[[self.label] * len(waves)]


@pytest.fixture
def predicted(tmp_path, monkeypatch):
    """Labels that a model file gives to the segments of one work folder."""
    ends = np.arange(COUNT) * SAMPLE_RATE
    whole = np.array([[0, SAMPLE_RATE]] * COUNT)
    np.save(tmp_path / "audio.npy", np.zeros(COUNT * SAMPLE_RATE, np.int16))
    parts = {"clip": np.arange(COUNT), "offset": ends, "length": whole[:, 1], "speech": whole, "served": whole}
    np.savez(tmp_path / "segments.npz", **parts)
    monkeypatch.setattr(scored, "Scorer", Favourite)
    Favourite.asked = 0

    def labels(model: Path) -> list[int]:
        return scored.Scored(CLIPS, Audio(tmp_path), model, tmp_path).scores("clean").argmax(1).tolist()

    return labels


def model(folder: Path, label: int) -> Path:
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    path.write_text(str(label))
    return path


def test_a_previous_model_is_scored_itself_though_its_folder_has_the_name_of_the_new_one(predicted, tmp_path):
    previous, new = model(tmp_path / "before" / "default", 1), model(tmp_path / "now" / "default", 2)
    os.utime(previous, (0, 0))
    assert predicted(new) == [2] * COUNT
    assert predicted(previous) == [1] * COUNT


def test_a_model_that_takes_the_place_of_another_is_scored_though_its_file_is_older(predicted, tmp_path):
    path = model(tmp_path / "model", 1)
    assert predicted(path) == [1] * COUNT
    path.write_text("2")
    os.utime(path, (0, 0))
    assert predicted(path) == [2] * COUNT


def test_scores_are_kept_for_the_same_model_wherever_it_lies(predicted, tmp_path):
    predicted(model(tmp_path / "one", 1))
    asked = Favourite.asked
    assert asked == COUNT
    assert predicted(model(tmp_path / "other", 1)) == [1] * COUNT
    assert Favourite.asked == asked
