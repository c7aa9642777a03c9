"""Every choice of the training run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    seed: int = 7
    # The student's encoder: how many of Whisper-base's blocks, and their feed-forward width.
    depth: int = 1
    hidden: int = 2048
    # Changed copies of the training set that the warm start learns from, and the end-to-end tuning after it.
    variants: int = 1
    warm_epochs: int = 8
    cycle_epochs: tuple[int, ...] = (2, 2, 1, 5)
    batch: int = 32
    # Peak learning rates of the tuned half block and of the new layers, by cycle.
    encoder_rates: tuple[float, ...] = (1e-4, 2e-4, 1e-4, 2e-4)
    new_rates: tuple[float, ...] = (5e-4, 8e-4, 5e-4, 8e-4)
    weight_decay: float = 0.05
    drop: float = 0.1
    smoothing: float = 0.05
    # Weight of the teacher's soft label against the actor's intention.
    teacher_share: float = 0.5
    # One speaker reads all of it, always neutral: enough to show the language, too little to teach the shortcut.
    aishell_clips: int = 80
    aishell_weight: float = 0.3
    # Decay per step of the running average of the weights, which is what is shipped.
    average: float = 0.99
    # Every other batch starts at a random position up to this frame, so that positions of long segments are known too.
    farthest_start: int = 1100
