"""Utterance statistics of augmented speech under the frozen encoder: computed once, learnt from in seconds."""

import argparse
from pathlib import Path

import numpy as np
import torch

from .audio import Audio
from .batches import pad
from .corpus import Clip, data_dir, read_clips
from .feed import augmented, epoch_clips, start_of
from .frontend import valid_mask
from .recipe import Recipe
from .student import Student, mean_and_spread, new_student

SAVE_EVERY = 30


def statistics(student: Student, waves: list[np.ndarray], offset: int) -> np.ndarray:
    """Mean and spread over time of the encoder's features, shape [batch, 1024]."""
    with torch.inference_mode():
        features, lengths = student.encode(*student.mel(*pad(waves)), offset=offset)
        return mean_and_spread(features, valid_mask(features.shape[1], lengths)[:, :, None])[:, 0].numpy()


def extract(clips: list[Clip], work: Path, recipe: Recipe, variant: int) -> None:
    """`variant-N.npz`: `clip` [n] and `statistics` [n, 1024] of one changed copy of every training clip."""
    path = work / f"variant-{variant}.npz"
    if path.exists():
        return
    audio, generator = Audio(work), np.random.default_rng([recipe.seed, variant])
    student = new_student(recipe).eval()
    numbers, rows = [], []
    chosen = epoch_clips(clips, generator, recipe)
    for count, (batch, waves) in enumerate(augmented(chosen, clips, audio, generator, recipe.batch), 1):
        numbers.append(batch)
        rows.append(statistics(student, waves, start_of(generator, recipe)))
        if count % SAVE_EVERY == 0:
            print(f"variant {variant}: {sum(map(len, numbers))} of {len(chosen)} clips", flush=True)
    np.savez(work / "variant.partial.npz", clip=np.concatenate(numbers), statistics=np.concatenate(rows))
    (work / "variant.partial.npz").rename(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    found = read_clips(data_dir(arguments.data))
    for number in range(Recipe.variants):
        extract(found, arguments.work, Recipe(), number)
