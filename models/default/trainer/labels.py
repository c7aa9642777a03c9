"""The nine labels of the model contract, and which of them this model can learn."""

LABELS = ["angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "unknown"]

# No openly licensed corpus at hand teaches these; their logit is a constant far below the rest.
CANNOT_PREDICT = ["other", "surprised", "unknown"]
ABSENT_LOGIT = -30.0

KNOWN = [name for name in LABELS if name not in CANNOT_PREDICT]
KNOWN_INDEX = [LABELS.index(name) for name in KNOWN]
