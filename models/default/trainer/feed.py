"""What the student is fed: which clips an epoch has, how they are changed, and the targets they stand for."""

from collections.abc import Iterator

import numpy as np
import torch

from .audio import Audio
from .augment import augment
from .corpus import Clip, indices
from .labels import KNOWN
from .recipe import Recipe


def targets_of(clips: list[Clip], teacher: np.ndarray, recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Target probabilities [clips, 6] and weights [clips]."""
    hard = np.full((len(clips), len(KNOWN)), recipe.smoothing / len(KNOWN), np.float32)
    for i, clip in enumerate(clips):
        hard[i, clip.target] += 1 - recipe.smoothing
    share = recipe.teacher_share * (teacher.sum(1, keepdims=True) > 0)
    weights = [recipe.aishell_weight if clip.corpus == "aishell" else 1.0 for clip in clips]
    return torch.from_numpy((1 - share) * hard + share * teacher).float(), torch.tensor(weights)


def epoch_clips(clips: list[Clip], generator: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """All acted training clips and a few read ones."""
    acted = np.concatenate([indices(clips, "train", "crema_d"), indices(clips, "train", "emodb")])
    read = generator.choice(indices(clips, "train", "aishell"), recipe.aishell_clips, replace=False)
    return np.concatenate([acted, read])


def companions(clips: list[Clip], train: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Training clips by speaker and emotion."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i in train:
        groups.setdefault((clips[i].speaker, clips[i].emotion), []).append(int(i))
    return {key: np.array(value) for key, value in groups.items()}


def augmented(
    chosen: np.ndarray, clips: list[Clip], audio: Audio, generator: np.random.Generator, size: int
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Batches of clip numbers and changed waves, alike in length after the change, so that little is padding."""
    everyone = indices(clips, "train")
    friends = companions(clips, everyone)
    generator.shuffle(chosen)
    for group in np.split(chosen, range(8 * size, len(chosen), 8 * size)):
        waves = []
        for i in group:
            friend = generator.choice(friends[clips[i].speaker, clips[i].emotion])
            waves.append(augment(audio[i], audio[friend], audio[generator.choice(everyone)], generator))
        order = np.argsort([len(wave) for wave in waves])
        batches = np.split(order, range(size, len(order), size))
        generator.shuffle(batches)
        for batch in batches:
            yield group[batch], [waves[i] for i in batch]


def start_of(generator: np.random.Generator, recipe: Recipe) -> int:
    """Position of a batch's first frame: the start, or somewhere in a long segment."""
    return 0 if generator.random() < 0.5 else int(generator.integers(recipe.farthest_start))
