"""Every choice of a training run."""

from dataclasses import dataclass, field

# Chance of a row of a batch to come from a corpus; within one, emotions and speakers are equally likely.
SHARES = {
    "crema_d": 0.45,
    "emodb": 0.11,
    "banglaser": 0.17,
    "indowave": 0.05,
    "speechocean762": 0.06,
    "librispeech": 0.06,
    "aishell": 0.03,
    "telephone": 0.03,
    "ami": 0.02,
    "few": 0.02,
}
# What ordinary speech is taken for: nobody labelled it, and hardly any of it is angry.
ORDINARY = {
    "angry": 0.01,
    "disgusted": 0.04,
    "fearful": 0.05,
    "happy": 0.10,
    "neutral": 0.65,
    "sad": 0.10,
    "surprised": 0.05,
}


# A step has at least so many rows, however long they are.
LEAST_ROWS = 8


@dataclass(frozen=True)
class Recipe:
    seed: int = 7
    steps: int = 4000
    # Seconds of sound in a step, and how long its rows may be.
    seconds: float = 240.0
    lengths: tuple[float, ...] = (1.2, 2.0, 2.5, 3.0, 3.0, 4.0, 5.0, 7.0, 10.0)
    # Peak learning rates of Whisper's stem, Whisper's blocks and everything new.
    stem_rate: float = 2e-5
    block_rate: float = 1e-4
    new_rate: float = 8e-4
    weight_decay: float = 0.05
    drop: float = 0.1
    smoothing: float = 0.1
    # Loss of an ordinary row beside an acted one; and how much of its target is what the model says, less anger: that
    # it is not
    # angry is known, what it is instead is not.
    ordinary_weight: float = 0.6
    own_share: float = 0.5
    # Weight of the teacher's soft label against the label itself, and of the likeness of the embeddings.
    teacher_share: float = 0.6
    hint: float = 1.0
    # Share of rows that only meet a little noise.
    light: float = 0.25
    # Chance that a row goes on with another utterance of its speaker and emotion after a pause.
    join: float = 0.35
    # Chance that a row comes from the copy through a real codec.
    coded: float = 0.25
    # Decay per step of the running average of the weights, which is what is shipped.
    average: float = 0.998
    # Frames of a batch are numbered from a random start up to this, so that positions of long segments are known too.
    farthest_start: int = 1000
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    ordinary: dict[str, float] = field(default_factory=lambda: dict(ORDINARY))


# The teacher, then the student, then the student again from where it was, leaning more on the teacher.
RECIPES = {
    "teacher": Recipe(steps=900, block_rate=5e-5, coded=0.0),
    "first": Recipe(),
    "second": Recipe(steps=3300, own_share=0.7, light=0.3, new_rate=6e-4),
}
