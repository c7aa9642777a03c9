"""A step in groups of rows, and with answers of the teacher that are known already, is the step that it was."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainer import train
from trainer.corpus import Clip
from trainer.feed import Bank
from trainer.labels import KNOWN
from trainer.origin import origin
from trainer.recipe import RECIPES
from trainer.student import SMALL, Student

RATE = 16000
SECONDS = 3
# Nothing at random but the rows.
RECIPE = dataclasses.replace(RECIPES["first"], steps=4, seconds=24.0, lengths=(1.2, 4.0), drop=0.0)


@pytest.fixture
def run(begun):
    """A run of a small student beside a teacher, both of random weights, on noise."""
    return begun(RECIPE)


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Begins such a run by a recipe, or goes on with it where it was saved."""
    generator, count = np.random.default_rng(0), 24
    np.save(tmp_path / "audio.npy", generator.integers(-9000, 9000, count * SECONDS * RATE).astype(np.int16))
    length = np.full(count, SECONDS * RATE)
    spoken = np.stack([np.full(count, RATE // 2), RATE + generator.integers(0, RATE, count)], 1)
    parts = {"clip": np.arange(count), "offset": np.arange(count) * SECONDS * RATE, "length": length}
    np.savez(tmp_path / "segments.npz", **parts, speech=spoken, served=spoken)
    emotions = [*KNOWN, "ordinary"]
    clips = [
        Clip(Path(), "librispeech" if e == "ordinary" else "crema_d", str(n), e, SECONDS, "train", "")
        for n in range(count)
        for e in [emotions[n % len(emotions)]]
    ]
    (tmp_path / "origin.json").write_text(json.dumps(origin(clips)))
    monkeypatch.setattr(train, "new_student", lambda shape, seed: torch.manual_seed(seed) and Student(shape))
    monkeypatch.setattr(train, "hidden", lambda mel, lengths: mel)
    torch.manual_seed(1)
    teacher = tmp_path / "teacher.pt"
    torch.save({"shape": dataclasses.asdict(SMALL), "average": Student(SMALL).state_dict()}, teacher)
    monkeypatch.setattr(train, "MEASURED", range(1_000_000, 1_000_001))
    return lambda recipe: train.Run(clips, tmp_path, recipe, SMALL, "cpu", "run", teacher=teacher)


def gradient(run: train.Run, monkeypatch, group: float, bfloat16: bool = False) -> tuple[torch.Tensor, float]:
    """Of the first step, which changes nothing; and its loss."""
    monkeypatch.setattr(train, "GROUP", group)
    monkeypatch.setattr(run.optimiser, "step", lambda: None)
    monkeypatch.setattr(run.schedule, "step", lambda: None)
    run.bfloat16, run.step_number = bfloat16, 0
    torch.manual_seed(2)
    loss = float(run.step())
    return torch.cat([p.grad.flatten() for p in run.student.parameters()]), loss


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


class Unknown:
    """Answers that are neither kept nor known."""

    def read(self, step: int, count: int) -> None: ...

    def write(self, step: int, logits: torch.Tensor, embeddings: torch.Tensor) -> None: ...


def test_groups_of_rows_give_the_gradient_of_the_whole(run, monkeypatch):
    run.known = Unknown()
    whole, loss = gradient(run, monkeypatch, 1e9)
    parts, same = gradient(run, monkeypatch, 5.0)
    assert len(run.groups(run.feed.batch(run.bank, "cpu", 0)["lengths"])) > 2
    assert apart(parts, whole) < 1e-4
    assert same == pytest.approx(loss, rel=1e-5)


def test_bfloat16_gives_nearly_the_same_gradient(run, monkeypatch):
    run.known = Unknown()
    exact, _ = gradient(run, monkeypatch, 1e9)
    rounded, _ = gradient(run, monkeypatch, 1e9, bfloat16=True)
    assert 0 < apart(rounded, exact) < 0.05


def test_known_answers_of_the_teacher_give_the_same_step(run, monkeypatch):
    asked, loss = gradient(run, monkeypatch, 5.0)
    monkeypatch.setattr(run, "told", lambda wave, lengths: pytest.fail("the teacher is asked again"))
    known, same = gradient(run, monkeypatch, 5.0)
    assert apart(known, asked) < 5e-3, "they are kept in half precision"
    assert same == pytest.approx(loss, rel=1e-3)


def test_a_step_has_the_same_rows_whenever_it_comes(run):
    first, _ = (run.feed.batch(run.bank, "cpu", step) for step in (5, 6))
    again = run.feed.batch(run.bank, "cpu", 5)
    assert torch.equal(first["wave"], again["wave"])
    assert torch.equal(first["targets"], again["targets"])


@pytest.mark.parametrize("steps", [RECIPE.steps * 3, RECIPE.steps // 2])
@pytest.mark.parametrize("done", [1, RECIPE.steps], ids=["midway", "done"])
def test_a_run_does_not_go_on_with_another_number_of_steps(begun, done, steps):
    run = begun(RECIPE)
    for _ in range(done):
        run.optimiser.step()
        run.schedule.step()
        run.step_number += 1
    run.save()
    with pytest.raises(SystemExit, match=f"{RECIPE.steps} steps, and {steps} .* --share .* another --out"):
        begun(dataclasses.replace(RECIPE, steps=steps))
    assert begun(RECIPE).step_number == done


def test_parts_of_a_row_are_laid_where_they_belong_at_their_speed():
    bank = object.__new__(Bank)
    bank.clean = torch.arange(1000, dtype=torch.int16)
    bank.coded = -bank.clean
    starts, lengths, places = (np.array(x) for x in ([[100, 300], [10, 0]], [[50, 20], [41, 0]], [[0, 60], [5, 0]]))
    rows = 32768 * bank.rows(100, starts, lengths, places, np.array([False, True]), np.array([1.0, 2.0]))
    assert rows[0, :49].tolist() == list(range(100, 149))
    assert rows[0, 60:79].tolist() == list(range(300, 319))
    assert not rows[0, 50:60].any()
    assert rows[1, 5:25].tolist() == [-float(n) for n in range(10, 50, 2)]
    assert not rows[1, 25:].any()
