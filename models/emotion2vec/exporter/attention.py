"""Attention with ALiBi."""

from typing import Protocol

import numpy as np
from onnx import TensorProto

from .architecture import Architecture
from .checkpoint import Weights
from .graph_writer import MICROSOFT, GraphWriter

# Score of a key that must not be attended to: its weight is exactly 0 after the softmax.
MASKED = -1e30
# A key whose bias alone is below this has a weight under 2e-28 of the frame itself, far less than float32 can add to
# it, and is masked: otherwise the softmax would give a denormal number, on which processors are many times slower.
NEGLIGIBLE = -64.0


class Attention(Protocol):
    """Writes the attention of all blocks; they share ALiBi."""

    def begin(self, features: str) -> None:
        """To be called once, with f32 [batch, frames, width]."""

    def apply(self, query: str, key: str, value: str, keys: str, name: str) -> str:
        """Three times f32 [batch, tokens, width], and keys to attend to, int32 [batch, tokens]; f32, the same shape."""


class FusedAttention:
    """ONNX Runtime's fused operator, with the bias of each pair of tokens as an input."""

    def __init__(self, graph: GraphWriter, architecture: Architecture, weights: Weights) -> None:
        self._graph, self._architecture, self._weights = graph, architecture, weights
        self._bias = ""

    def begin(self, features: str) -> None:
        self._bias = _write_bias(self._graph, self._architecture, self._weights, features)

    def apply(self, query: str, key: str, value: str, keys: str, name: str) -> str:
        return self._graph.node(
            "MultiHeadAttention",
            query,
            key,
            value,
            "",
            keys,
            self._bias,
            domain=MICROSOFT,
            num_heads=self._architecture.heads,
            mask_filter_value=MASKED,
            name=name,
        )


def alibi_slopes(architecture: Architecture, weights: Weights) -> np.ndarray:
    """Bias of a frame's distance for each head, at most 0; fp64 [heads]."""
    learned = weights["modality_encoders.AUDIO.alibi_scale"].astype(np.float64).reshape(-1)
    return -np.array(architecture.alibi_slopes()) * np.maximum(learned, 0.0)


def _write_bias(graph: GraphWriter, architecture: Architecture, weights: Weights, features: str) -> str:
    """ALiBi of all heads, -|i - j| * slope * max(scale, 0), zero for the extra tokens. f32 [1, heads, tokens, tokens].

    The same for every block and every row, so it is computed once per run.
    """
    slopes = alibi_slopes(architecture, weights)
    index = graph.span(graph.dimension(features, 1, name="frames_total"), name="alibi.index")
    index = graph.node("Cast", index, to=TensorProto.FLOAT, name="alibi.index")
    row = graph.node("Unsqueeze", index, graph.integers(1), name="alibi.row")
    distance = graph.node("Abs", graph.node("Sub", row, index, name="alibi.offset"), name="alibi.distance")
    padding = graph.integers(architecture.extra_tokens, architecture.extra_tokens, 0, 0)
    distance = graph.node("Pad", distance, padding, name="alibi.distance")
    slope = graph.weight("alibi.slope", slopes.reshape(1, architecture.heads, 1, 1))
    bias = graph.node("Mul", distance, slope, name="alibi.bias")
    far = graph.node("Less", bias, graph.number(NEGLIGIBLE), name="alibi.far")
    return graph.node("Where", far, graph.number(MASKED), bias, name="alibi.near")
