"""What the student is fed: rows of joined or cut segments with random margins, and the targets that they stand for."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .audio import Audio
from .corpus import Clip
from .labels import KNOWN
from .recipe import LEAST_ROWS, Recipe

RATE = 16000
PARTS = 4
# Corpora with too few clips for a share of their own.
TELEPHONE = {"aws_pca"}
FEW = {"common_voice", "google_samples", "mycroft", "vctk", "zh_singles"}


def share_of(corpus: str) -> str:
    return "telephone" if corpus in TELEPHONE else "few" if corpus in FEW else corpus


class Bank:
    """The sound of all segments on the device, as it is and through real codecs; int16."""

    def __init__(self, work: Path, device: str):
        self.clean = torch.from_numpy(np.load(work / "audio.npy")).to(device)
        coded = work / "coded.npy"
        self.coded = torch.from_numpy(np.load(coded)).to(device) if coded.exists() else self.clean

    def rows(
        self,
        samples: int,
        starts: np.ndarray,
        lengths: np.ndarray,
        places: np.ndarray,
        coded: np.ndarray,
        speed: np.ndarray,
    ) -> Tensor:
        """Waves [batch, samples] made of parts: `starts`, `lengths`, `places` [batch, PARTS] say which sound goes
        where.

        `speed` [batch] is how fast it is played.
        """
        waves = torch.zeros(len(starts), samples, device=self.clean.device)
        for row, part in zip(*np.nonzero(lengths), strict=True):
            start, length, place = (int(found[row, part]) for found in (starts, lengths, places))
            sound = (self.coded if coded[row] else self.clean)[start : start + length].float()
            if speed[row] != 1:
                at = torch.arange(int(np.ceil((length - 1) / speed[row])), device=sound.device) * float(speed[row])
                whole = at.long().clamp(max=length - 2)
                sound = torch.lerp(sound[whole], sound[whole + 1], at - whole)
            room = min(len(sound), samples - place)
            waves[row, place : place + room] += sound[:room]
        return waves / 32768.0


class Feed:
    """Random batches from the training speakers of every corpus but `leave_out`."""

    def __init__(self, clips: list[Clip], audio: Audio, recipe: Recipe, seed: int, leave_out: str | None = None):
        self.clips, self.audio, self.recipe, self.seed = clips, audio, recipe, seed
        self.generator = np.random.default_rng(seed)
        self.groups: dict[str, dict[str, dict[str, list[int]]]] = {}
        for number, clip_number in enumerate(audio.clip):
            clip = clips[clip_number]
            if clip.role != "train" or clip.corpus == leave_out or (clip.target < 0 and not clip.ordinary):
                continue
            emotions = self.groups.setdefault(share_of(clip.corpus), {})
            emotions.setdefault(clip.emotion, {}).setdefault(clip.speaker, []).append(number)
        self.names = sorted(self.groups)
        shares = np.array([recipe.shares[name] for name in self.names])
        self.shares = shares / shares.sum()

    def pick(self) -> tuple[str, list[int]]:
        """An emotion (or `ordinary`) and the segments of one speaker that have it."""
        emotions = self.groups[self.names[self.generator.choice(len(self.names), p=self.shares)]]
        emotion = list(emotions)[self.generator.integers(len(emotions))]
        speakers = list(emotions[emotion])
        return emotion, emotions[emotion][speakers[self.generator.integers(len(speakers))]]

    def batch(self, bank: Bank, device: str, step: int) -> dict[str, Tensor]:
        """The rows of a step: `wave` [batch, samples], `lengths` [batch], `targets` [batch, 7], `weights` and
        `ordinary` [batch]. The same ones whenever the step is asked for; then `generator` is at a place of its own."""
        self.generator = np.random.default_rng([self.seed, step])
        recipe, generator = self.recipe, self.generator
        samples = int(generator.choice(recipe.lengths) * RATE)
        size = max(LEAST_ROWS, int(recipe.seconds * RATE / samples))
        starts, lengths, places = (np.zeros((size, PARTS), np.int64) for _ in range(3))
        total, emotions = np.zeros(size, np.int64), []
        speed = generator.uniform(0.9, 1.1, size) * (generator.random(size) < 0.4)
        speed = np.where(speed == 0, 1.0, speed)
        for row in range(size):
            emotion, members = self.pick()
            emotions.append(emotion)
            total[row] = self.fill(row, members, samples, speed[row], starts, lengths, places)
        coded = generator.random(size) < recipe.coded
        targets = np.stack([self.target(emotion) for emotion in emotions])
        ordinary = np.array([emotion == "ordinary" for emotion in emotions])
        weights = np.where(ordinary, recipe.ordinary_weight, 1.0)
        return {
            "wave": bank.rows(samples, starts, lengths, places, coded, speed),
            "lengths": torch.from_numpy(np.maximum(total, 400)).to(device),
            "targets": torch.from_numpy(targets).float().to(device),
            "weights": torch.from_numpy(weights).float().to(device),
            "ordinary": torch.from_numpy(ordinary).to(device),
        }

    def fill(
        self,
        row: int,
        members: list[int],
        samples: int,
        speed: float,
        starts: np.ndarray,
        lengths: np.ndarray,
        places: np.ndarray,
    ) -> int:
        """Lays segments of `members` one after another into a row; returns the row's length in samples."""
        generator, audio = self.generator, self.audio
        join = generator.random() < self.recipe.join or samples > 6 * RATE
        # Now and then silence at the ends, which the worker would cut away.
        place = int(generator.uniform(0, 1.0) * RATE) if generator.random() < 0.12 and samples > 2 * RATE else 0
        for part in range(PARTS if join else 1):
            number = members[generator.integers(len(members))]
            first, last = self.margins(number)
            room = samples - place
            length = min(last - first, int(room * speed))
            if last - first > length:
                first += int(generator.integers(last - first - length + 1))
            elif generator.random() < 0.3 and length > 2 * RATE:
                keep = int(length * generator.uniform(0.6, 1.0))
                first += int(generator.integers(length - keep + 1))
                length = keep
            starts[row, part], lengths[row, part], places[row, part] = audio.offset[number] + first, length, place
            place += int(length / speed)
            pause = int(generator.uniform(0.0, 1.0) * RATE)
            if place + pause + RATE // 2 > samples:
                break
            if part + 1 < PARTS and join:
                place += pause
        return min(samples, place)

    def margins(self, number: int) -> tuple[int, int]:
        """First and last sample of a segment with random margins of up to half a second round its speech."""
        begin, end = self.audio.speech[number]
        before, after = self.generator.uniform(0, 0.5, 2) * RATE
        return max(0, int(begin - before)), min(int(self.audio.length[number]), int(end + after))

    def target(self, emotion: str) -> np.ndarray:
        """Probabilities over KNOWN."""
        if emotion == "ordinary":
            return np.array([self.recipe.ordinary[name] for name in KNOWN])
        target = np.full(len(KNOWN), self.recipe.smoothing / len(KNOWN))
        target[KNOWN.index(emotion)] += 1 - self.recipe.smoothing
        return target
