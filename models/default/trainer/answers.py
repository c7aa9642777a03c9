"""What the teacher says of the rows of each step, kept from one stage to the next.

Both of the student's stages are fed the same rows in the same order (feed.py draws them by step), each time changed in
another way, while the teacher meets them unchanged: its answers are the same, and are more than half of a step's work.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .labels import KNOWN
from .recipe import LEAST_ROWS, Recipe
from .student import EMBEDDING

# Of a recipe, what decides the rows.
DECISIVE = ("seed", "seconds", "lengths", "join", "coded", "shares")
# A row of the file: logits, embedding, and a one that says that it was written.
WIDTH = len(KNOWN) + EMBEDDING + 1


class Answers:
    """A file [steps, rows, WIDTH] of float16, sparse until it is filled; memory-mapped, so that a killed run loses
    nothing."""

    def __init__(self, work: Path, recipe: Recipe, teacher: Path, leave_out: str | None):
        decisive = [getattr(recipe, name) for name in DECISIVE]
        made = (teacher.name, teacher.stat().st_mtime_ns, (work / "segments.npz").stat().st_mtime_ns, leave_out)
        name = hashlib.sha256(repr((decisive, made)).encode()).hexdigest()[:16]
        path = work / f"answers-{name}.npy"
        if not path.exists():
            most = max(LEAST_ROWS, int(recipe.seconds / min(recipe.lengths)))
            partial = path.with_suffix(".partial")
            np.lib.format.open_memmap(partial, "w+", np.float16, (recipe.steps, most, WIDTH)).flush()
            partial.replace(path)
        self.rows = np.load(path, mmap_mode="r+")

    def read(self, step: int, count: int) -> tuple[Tensor, Tensor] | None:
        """Logits [count, 7] and embeddings [count, EMBEDDING] of a step's rows, if they are known."""
        if step >= len(self.rows) or not (self.rows[step, :count, -1] == 1).all():
            return None
        found = torch.from_numpy(self.rows[step, :count, :-1].astype(np.float32))
        return found[:, : len(KNOWN)], found[:, len(KNOWN) :]

    def write(self, step: int, logits: Tensor, embeddings: Tensor) -> None:
        if step < len(self.rows):
            written = torch.cat([logits, embeddings, torch.ones(len(logits), 1, device=logits.device)], 1)
            self.rows[step, : len(written)] = written.cpu().numpy()
