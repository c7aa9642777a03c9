"""Warm start, then end-to-end tuning on augmented audio with hard and soft labels. Resumes after the last whole epoch."""

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .audio import Audio
from .batches import pad
from .corpus import Clip, data_dir, read_clips
from .feed import augmented, epoch_clips, start_of, targets_of
from .recipe import Recipe
from .spectrogram_mask import hide
from .student import new_student
from .validate import validation_accuracy
from .warm_start import warm_start


class Run:
    """A training run: the student, the running average of its weights that is shipped, and all that a resume needs."""

    def __init__(self, clips: list[Clip], work: Path, recipe: Recipe):
        self.clips, self.work, self.recipe = clips, work, recipe
        self.audio, self.generator = Audio(work), np.random.default_rng(recipe.seed)
        self.targets, self.weights = targets_of(clips, np.load(work / "teacher.npy"), recipe)
        self.student = new_student(recipe)
        self.epoch, self.best = 0, 0.0
        fresh = not (work / "checkpoint.pt").exists()
        if fresh:
            self.start_warm()
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        tuned = [p for p in self.student.encoder.parameters() if p.requires_grad]
        new = [*self.student.projection.parameters(), *self.student.head.parameters()]
        self.groups = [tuned, new]
        self.steps = -(-len(epoch_clips(clips, np.random.default_rng(0), recipe)) // recipe.batch)
        self.begin_cycle()
        if not fresh:
            self.resume()

    def begin_cycle(self) -> None:
        """A new optimiser whose rates rise and fall once over the cycle's epochs."""
        ends = np.cumsum(self.recipe.cycle_epochs)
        cycle = min(int(np.searchsorted(ends, self.epoch, side="right")), len(ends) - 1)
        self.optimiser = torch.optim.AdamW([{"params": group} for group in self.groups], weight_decay=self.recipe.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, [self.recipe.encoder_rates[cycle], self.recipe.new_rates[cycle]],
            total_steps=self.recipe.cycle_epochs[cycle] * self.steps, pct_start=0.1,
        )
        self.parts = {
            "student": self.student, "average": self.average, "optimiser": self.optimiser, "schedule": self.schedule,
        }

    def start_warm(self) -> None:
        variants = [np.load(self.work / f"variant-{n}.npz") for n in range(self.recipe.variants)]
        numbers = np.concatenate([variant["clip"] for variant in variants])
        statistics = np.concatenate([variant["statistics"] for variant in variants])
        warm_start(self.student, statistics, self.targets[numbers], self.weights[numbers], self.recipe)

    def batches(self) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        chosen = epoch_clips(self.clips, self.generator, self.recipe)
        return augmented(chosen, self.clips, self.audio, self.generator, self.recipe.batch)

    def step(self, batch: np.ndarray, waves: list[np.ndarray]) -> float:
        self.student.train()
        with torch.no_grad():
            mel, mel_lengths = self.student.mel(*pad(waves))
            hide(mel, mel_lengths, self.generator)
        offset = start_of(self.generator, self.recipe)
        logits, _ = self.student.classify(*self.student.encode(mel, mel_lengths, offset), self.recipe.drop)
        each = nn.functional.cross_entropy(logits, self.targets[batch], reduction="none")
        loss = (each * self.weights[batch]).sum() / self.weights[batch].sum()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in self.groups for p in group], 1.0)
        self.optimiser.step()
        self.schedule.step()
        with torch.no_grad():
            for ours, theirs in zip(self.average.parameters(), self.student.parameters(), strict=True):
                ours.lerp_(theirs, 1 - self.recipe.average)
        return loss.item()

    def run_epoch(self) -> None:
        started, losses = time.time(), []
        if self.epoch in np.cumsum(self.recipe.cycle_epochs):
            self.begin_cycle()
        for batch, waves in self.batches():
            losses.append(self.step(batch, waves))
            if len(losses) % 20 == 0:
                passed = time.time() - started
                print(f"  step {len(losses)}/{self.steps} loss {np.mean(losses[-20:]):.3f} {passed:.0f} s", flush=True)
        self.epoch += 1
        self.judge(f"epoch {self.epoch} loss {np.mean(losses):.3f}")

    def judge(self, title: str) -> None:
        """Keeps the averaged weights when they are the best so far on the validation speakers."""
        clean, line = (validation_accuracy(self.average, self.clips, self.audio, over) for over in (False, True))
        print(f"{title} validation clean {clean:.4f} line {line:.4f}", flush=True)
        if clean + line > self.best:
            self.best = clean + line
            torch.save(self.average.state_dict(), self.work / "best.pt")
        self.save()

    def save(self) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"epoch": self.epoch, "best": self.best, "generator": self.generator, "torch": torch.get_rng_state()}
        torch.save(state, self.work / "checkpoint.partial.pt")
        (self.work / "checkpoint.partial.pt").rename(self.work / "checkpoint.pt")

    def resume(self) -> None:
        saved = torch.load(self.work / "checkpoint.pt", weights_only=False)
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.epoch, self.best, self.generator = saved["epoch"], saved["best"], saved["generator"]
        torch.set_rng_state(saved["torch"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    run = Run(read_clips(data_dir(arguments.data)), arguments.work, Recipe())
    if run.epoch == 0:
        run.judge("warm start")
    while run.epoch < sum(run.recipe.cycle_epochs):
        run.run_epoch()
