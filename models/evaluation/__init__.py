"""Scores labelled recordings through the worker's own pipeline. Standard library only."""

LABELS = ("angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "unknown")
ORDINARY = "ordinary"
