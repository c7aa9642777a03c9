"""End-to-end training on augmented sound, beside a teacher that meets it unchanged. Resumes from its last
checkpoint.

On a processor the rows of a step are taken in groups of about the same length, so that little is computed for padding
and what is at work fits into the caches; the gradients are summed, so the step is the same. Products of matrices are
in bfloat16 where the device has instructions for them.
"""

import argparse
import copy
import dataclasses
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from .answers import Answers
from .audio import Audio
from .augment import augmented, hidden
from .corpus import Clip, data_dir, read_clips
from .feed import RATE, Bank, Feed
from .labels import KNOWN
from .recipe import RECIPES, Recipe
from .student import EMBEDDING, SMALL, TEACHER, Shape, Student, measure, new_student

# Steps between checkpoints: a run that is killed loses so many.
SAVE_EVERY = 100
# Batches that the scales of features are measured on: those of steps that no training has.
MEASURED = range(1_000_000, 1_000_012)
# Seconds of sound in a group of rows, padding included, on a processor.
GROUP = 40.0
# Seconds between two lines about progress.
TOLD = 60.0


class Run:
    """A training run: the student, the running average of its weights, and all that a resume needs."""

    def __init__(
        self,
        clips: list[Clip],
        work: Path,
        recipe: Recipe,
        shape: Shape,
        device: str,
        name: str,
        leave_out: str | None = None,
        teacher: Path | None = None,
        start: Path | None = None,
    ):
        self.recipe, self.shape, self.device, self.path = recipe, shape, device, work / f"{name}.pt"
        self.feed = Feed(clips, Audio.of(clips, work), recipe, recipe.seed, leave_out)
        self.bank = Bank(work, device)
        self.student = new_student(shape, recipe.seed).to(device)
        if start:
            self.student.load_state_dict(torch.load(start, weights_only=False, map_location="cpu")["average"])
        elif not self.path.exists():
            measure(self.student, [self.sounds(step) for step in MEASURED])
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        # Guesses the teacher's embedding from the student's; not part of the model.
        self.guess = torch.nn.Linear(EMBEDDING, EMBEDDING).to(device)
        self.teacher = load(teacher, device) if teacher else None
        self.known = Answers(work, recipe, teacher, leave_out) if teacher else None
        self.bfloat16 = device == "cuda" or fast_bfloat16()
        rates = {"stem": recipe.stem_rate, "blocks": recipe.block_rate, "new": recipe.new_rate}
        groups: dict[str, list[Tensor]] = {name: [] for name in rates}
        for parameter_name, parameter in self.student.named_parameters():
            part = "stem" if "encoder.stem" in parameter_name else "blocks" if "encoder." in parameter_name else "new"
            groups[part].append(parameter)
        groups["new"] += self.guess.parameters()
        self.optimiser = torch.optim.AdamW([{"params": p} for p in groups.values()], weight_decay=recipe.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, list(rates.values()), total_steps=recipe.steps, pct_start=0.08
        )
        self.step_number = 0
        self.parts = {
            "student": self.student,
            "average": self.average,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
            "guess": self.guess,
        }
        if self.path.exists():
            self.resume()

    def sounds(self, step: int) -> tuple[Tensor, Tensor]:
        """Changed waves and their lengths."""
        batch = self.feed.batch(self.bank, self.device, step)
        return augmented(batch["wave"], batch["lengths"], self.recipe.light), batch["lengths"]

    def answers(self, wave: Tensor, lengths: Tensor, offset: int) -> tuple[Tensor, Tensor]:
        """The student's logits and embedding of changed sound."""
        with torch.no_grad():
            mel, mel_lengths, speech = self.student.mel(wave, lengths)
            mel = hidden(mel, mel_lengths)
        with self.half():
            logits, embedding = self.student.classify(mel, mel_lengths, speech, offset, self.recipe.drop)
        return logits.float(), embedding.float()

    @torch.no_grad()
    def told(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's logits and embedding of unchanged sound."""
        heard = self.teacher.mel(wave, lengths)
        with self.half():
            logits, embedding = self.teacher.classify(*heard)
        return logits.float(), embedding.float()

    def half(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16)

    def groups(self, lengths: Tensor) -> list[Tensor]:
        """Numbers of the rows of each group, and all in one where the device has room for them."""
        order = torch.argsort(lengths, descending=True)
        if self.device != "cpu":
            return [order]
        found, start = [], 0
        while start < len(order):
            count = max(1, int(GROUP * RATE / int(lengths[order[start]])))
            found.append(order[start : start + count])
            start += count
        return found

    def targets(self, batch: dict[str, Tensor], soft: Tensor, share: float) -> Tensor:
        """The labels, mixed with a `share` of `soft` [batch, 7]; what ordinary speech has of anger is taken out of
        it."""
        ordinary = batch["ordinary"][:, None]
        calm = soft.clone()
        calm[:, KNOWN.index("angry")] *= 0.1
        soft = torch.where(ordinary, calm / calm.sum(1, keepdim=True), soft)
        share = torch.where(ordinary, self.recipe.own_share, share)
        return (1 - share) * batch["targets"] + share * soft

    def step(self) -> Tensor:
        """The mean loss of a step, which is taken."""
        self.student.train()
        batch = self.feed.batch(self.bank, self.device, self.step_number)
        generator = self.feed.generator
        offset = 0 if generator.random() < 0.5 else int(generator.integers(self.recipe.farthest_start))
        with torch.no_grad():
            batch["changed"] = augmented(batch["wave"], batch["lengths"], self.recipe.light)
        known = self.known.read(self.step_number, len(batch["wave"])) if self.known else None
        loss, total, told = 0.0, batch["weights"].sum(), []
        self.optimiser.zero_grad()
        groups = self.groups(batch["lengths"])
        for rows in groups:
            some = {name: value[rows] for name, value in batch.items()}
            samples = int(some["lengths"].max())
            some |= {name: some[name][:, :samples] for name in ("wave", "changed")}
            if self.teacher:
                soft = (
                    [one[rows.cpu()].to(self.device) for one in known]
                    if known
                    else self.told(some["wave"], some["lengths"])
                )
                told.append(soft)
            part = self.loss(some, offset, told[-1] if told else None) / total
            part.backward()
            loss = loss + part.detach()
        if self.known and not known:
            back = torch.argsort(torch.cat(groups))
            self.known.write(self.step_number, *(torch.cat(one)[back] for one in zip(*told, strict=True)))
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.step_number += 1
        decay = min(self.recipe.average, self.step_number / (self.step_number + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.student.parameters()), 1 - decay)
        return loss

    def loss(self, rows: dict[str, Tensor], offset: int, told: tuple[Tensor, Tensor] | None) -> Tensor:
        """The sum over rows of their losses by their weights; `told` is the teacher's answer."""
        logits, embedding = self.answers(rows["changed"], rows["lengths"], offset)
        logarithms, hint = torch.log_softmax(logits, 1), 0.0
        if told is None:
            targets = self.targets(rows, logarithms.detach().exp(), 0.0)
        else:
            said, meant = told
            targets = self.targets(rows, torch.softmax(said, 1), self.recipe.teacher_share)
            hint = self.recipe.hint * (1 - functional.cosine_similarity(self.guess(embedding), meant))
        return ((hint - (targets * logarithms).sum(1)) * rows["weights"]).sum()

    def run(self, save_every: int = SAVE_EVERY) -> None:
        started, begun, last, losses = time.monotonic(), self.step_number, time.monotonic(), []
        while self.step_number < self.recipe.steps:
            losses.append(self.step())
            done = self.step_number == self.recipe.steps
            if time.monotonic() - last > TOLD or done:
                pace = (time.monotonic() - started) / (self.step_number - begun)
                left = round(pace * (self.recipe.steps - self.step_number) / 60)
                loss = float(sum(losses)) / len(losses)
                print(
                    f"{self.path.stem} step {self.step_number}/{self.recipe.steps}, loss {loss:.3f}, "
                    f"{pace:.2f} s a step, {left // 60} h {left % 60:02} min left",
                    flush=True,
                )
                last, losses = time.monotonic(), []
            if self.step_number % save_every == 0 or done:
                self.save()

    def save(self) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"shape": dataclasses.asdict(self.shape), "step": self.step_number}
        state |= {"torch": torch.get_rng_state()}
        partial = self.path.with_suffix(".partial.pt")
        torch.save(state, partial)
        partial.rename(self.path)

    def resume(self) -> None:
        saved = torch.load(self.path, weights_only=False, map_location=self.device)
        # The learning rate rises and falls over all steps: a schedule that ends elsewhere would stop in its middle.
        begun = saved["schedule"]["total_steps"]
        if begun != self.recipe.steps:
            raise SystemExit(
                f"{self.path} is of a run of {begun} steps, and {self.recipe.steps} are asked for now. Give the same "
                "--share (or --trial, or --steps) as before, or another --out (or --work)."
            )
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.step_number = saved["step"]
        torch.set_rng_state(saved["torch"].cpu())


def fast_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 itself; without AVX512-BF16 it would be slower than float32."""
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def load(path: Path, device: str) -> Student:
    """The averaged weights of a run."""
    saved = torch.load(path, weights_only=False, map_location="cpu")
    student = Student(Shape(**saved["shape"]))
    student.load_state_dict(saved["average"])
    return student.to(device).eval().requires_grad_(False)


def main() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--name", default="student", help="of the checkpoint")
    parser.add_argument("--leave-out", help="a corpus that the run must not see")
    parser.add_argument("--teacher", type=Path, help="checkpoint of a teacher")
    parser.add_argument(
        "--start", type=Path, help="checkpoint whose weights the run goes on from, with rates that rise again"
    )
    parser.add_argument("--recipe", default="first", choices=tuple(RECIPES))
    parser.add_argument("--steps", type=int, help="other than the recipe's")
    parser.add_argument("--seconds", type=float, help="of sound in a step, other than the recipe's")
    parser.add_argument("--save-every", type=int, default=SAVE_EVERY, help="steps between checkpoints")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.recipe]
    recipe = dataclasses.replace(
        recipe, steps=arguments.steps or recipe.steps, seconds=arguments.seconds or recipe.seconds
    )
    shape = TEACHER if arguments.recipe == "teacher" else SMALL
    Run(
        read_clips(data_dir(arguments.data)),
        arguments.work,
        recipe,
        shape,
        arguments.device,
        arguments.name,
        arguments.leave_out,
        arguments.teacher,
        arguments.start,
    ).run(arguments.save_every)


if __name__ == "__main__":
    main()
