"""Temperature from the validation speakers, clean and over the line, so that 0.8 means right eight times in ten; then the export.

Speakers differ: one temperature for all of them together is too sure of those who are harder to read, and with few validation
speakers the next one may well be. So each speaker gets the temperature that suits, and the highest of those is taken.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from .audio import Audio
from .corpus import data_dir, indices, read_clips
from .export import write
from .metrics import calibration_error, softmax
from .recipe import Recipe
from .student import Student
from .validate import validate

def best_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The divisor of the logits with the lowest negative log-likelihood."""

    def loss(temperature: float) -> float:
        scores = softmax(logits / temperature)
        return float(-np.log(scores[np.arange(len(targets)), targets] + 1e-12).mean())

    return float(min(np.geomspace(0.2, 5.0, 400), key=loss))


def cautious_temperature(logits: np.ndarray, targets: np.ndarray, speakers: np.ndarray) -> float:
    """The temperature of the speaker who is hardest to read."""
    return max(best_temperature(logits[speakers == one], targets[speakers == one]) for one in np.unique(speakers))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    recipe = Recipe()
    student = Student(recipe.hidden, recipe.depth)
    student.load_state_dict(torch.load(arguments.work / "best.pt"))
    student.eval()
    clips, audio = read_clips(data_dir(arguments.data)), Audio(arguments.work)
    # Half of the clips are plenty for one number.
    clean, line = (validate(student, clips, audio, over_line, stride=2) for over_line in (False, True))
    logits, targets = np.concatenate([clean[0], line[0]]), np.concatenate([clean[1], line[1]])
    speakers = np.array([clips[i].speaker for i in indices(clips, "validation")[::2]])
    temperature = cautious_temperature(logits, targets, np.concatenate([speakers, speakers]))
    errors = {
        "before": calibration_error(softmax(logits), targets),
        "after": calibration_error(softmax(logits / temperature), targets),
    }
    (arguments.work / "calibration.json").write_text(json.dumps({"temperature": temperature, "validation_ece": errors}))
    print(f"temperature {temperature:.3f}, validation ECE {errors['before']:.3f} -> {errors['after']:.3f}")
    write(student, temperature, arguments.out)
