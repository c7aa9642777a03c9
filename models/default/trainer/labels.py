"""The nine labels of the model contract, and which of them this model can learn."""

LABELS = ["angry", "disgusted", "fearful", "happy", "neutral", "other", "sad", "surprised", "unknown"]

# No openly licensed corpus at hand teaches `other`; its logit is a constant far below the rest.
CANNOT_PREDICT = ["other"]
ABSENT_LOGIT = -30.0

# What the network is taught. `unknown` is not among them: the distance to the training speech speaks for it.
KNOWN = ["angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"]
KNOWN_INDEX = [LABELS.index(name) for name in KNOWN]
