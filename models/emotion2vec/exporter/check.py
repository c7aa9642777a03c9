"""Is the exported model FunASR's? Every figure is the largest absolute difference that was found."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .checkpoint import CheckpointFiles
from .labels import EMOTIONS
from .reference import Reference
from .runtime import Model, Output
from .speech import Recording, read, synthesise

LIMIT = 1e-4
# Seconds of the synthetic voices: the shortest input there is, and lengths on both sides of everyday segments.
SYNTHETIC_SECONDS = [0.025, 0.61, 2.3, 5.0, 11.7]
# Upstream's example/test.wav: `angry`, to three digits, and nothing else.
EXAMPLE_EMOTION, EXAMPLE_SCORE, EXAMPLE_REST = "angry", 0.9995, 1e-9


@dataclass(frozen=True)
class Finding:
    """One comparison: what was compared, what was found, and the largest value that passes."""

    what: str
    value: float
    limit: float = LIMIT

    @property
    def passed(self) -> bool:
        return self.value <= self.limit


def compare(model: Model, reference: Reference, recordings: list[Recording]) -> list[Finding]:
    """The model against FunASR's `generate()` on each recording, and a batch of all of them against the singles."""
    singles = [model.run([recording.waveform]) for recording in recordings]
    answers = [reference.answer_file(recording.path) for recording in recordings]
    pairs = list(zip(singles, answers, strict=True))
    batch = model.run([recording.waveform for recording in recordings])
    return [
        Finding("scores, against FunASR", max(_gap(ours.scores[0], theirs.scores) for ours, theirs in pairs)),
        Finding(
            "features of the utterance, against FunASR",
            max(_gap(ours.embedding[0], theirs.embedding) for ours, theirs in pairs),
        ),
        Finding(
            "features of each frame, against FunASR", max(_gap(ours.frames[0], theirs.frames) for ours, theirs in pairs)
        ),
        Finding(
            "mean of frame logits, against logits",
            max(_gap(ours.frame_logits[0].mean(axis=0), ours.logits[0]) for ours in singles),
        ),
        *_batch_against_singles(batch, singles),
    ]


def _batch_against_singles(batch: Output, singles: list[Output]) -> list[Finding]:
    worst = dict.fromkeys(("scores", "embedding", "frames", "frame_logits"), 0.0)
    padding = 0.0
    for row, single in enumerate(singles):
        frames = single.frames.shape[1]
        worst["scores"] = max(worst["scores"], _gap(batch.scores[row], single.scores[0]))
        worst["embedding"] = max(worst["embedding"], _gap(batch.embedding[row], single.embedding[0]))
        for name in ("frames", "frame_logits"):
            values = getattr(batch, name)[row]
            worst[name] = max(worst[name], _gap(values[:frames], getattr(single, name)[0]))
            padding = max(padding, float(np.abs(values[frames:]).max(initial=0.0)))
    findings = [Finding(f"{name}, batch against single", value) for name, value in worst.items()]
    return [*findings, Finding("frames of padding, against zero", padding, limit=0.0)]


def check_example(model: Model, files: CheckpointFiles) -> list[Finding]:
    """Upstream's example file, with its known scores for the published weights; none if the folder has no example."""
    if not files.example.is_file():
        return []
    scores = dict(zip(EMOTIONS, model.run([read(files.example).waveform]).scores[0], strict=True))
    expected = scores.pop(EXAMPLE_EMOTION)
    return [
        Finding(f"example/test.wav, 1 - {EXAMPLE_EMOTION}", 1.0 - float(expected), 1.0 - EXAMPLE_SCORE),
        Finding("example/test.wav, every other emotion", float(max(scores.values())), EXAMPLE_REST),
    ]


def recordings_to_check(given: list[Path], folder: Path) -> list[Recording]:
    """The user's files and, always, the synthetic ones (written into `folder`)."""
    return [read(path) for path in [*given, *synthesise(folder, SYNTHETIC_SECONDS)]]


def table(findings: list[Finding]) -> str:
    """The findings as lines for a terminal."""
    return "\n".join(
        f"  {'ok  ' if finding.passed else 'FAIL'}  {finding.what:48s} {finding.value:.1e}"
        f"  (at most {finding.limit:.0e})"
        for finding in findings
    )


def _gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest absolute difference; shapes must agree, and a NaN is the largest difference of all."""
    if ours.shape != theirs.shape:
        return float("inf")
    gap = float(np.abs(np.asarray(ours, dtype=np.float64) - theirs).max())
    return gap if np.isfinite(gap) else float("inf")
