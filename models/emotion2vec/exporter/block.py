"""A transformer block but for its attention: everything that treats each row alike."""

from dataclasses import dataclass

import numpy as np

from .architecture import Architecture
from .checkpoint import Weights
from .graph_writer import GraphWriter
from .linear import Linear


@dataclass(frozen=True)
class BlockWriter:
    """Writes on values f32 [rows, width]; `blocks` are the names of all blocks in the checkpoint, in their order."""

    graph: GraphWriter
    architecture: Architecture
    weights: Weights
    linear: Linear
    blocks: list[str]

    def enter(self, value: str, norm: str) -> list[str]:
        """The norm in front of the first block; gives its result, and what the first attention takes."""
        value = self._normalise(value, norm, "encoder.norm")
        return [value, *self._project(0, value)]

    def after_attention(self, index: int, attended: str, residual: str) -> list[str]:
        """The rest of a block; gives its result, and what the next attention takes."""
        name = f"block{index}"
        attended = self.linear.apply(
            self.linear.prepare(attended, f"{name}.out"), *self._layer(index, "attn.proj"), f"{name}.out"
        )
        value = self._add_and_normalise(index, attended, residual, "norm1")
        branch = self.linear.feed_forward(
            value, self._layer(index, "mlp.fc1"), self._layer(index, "mlp.fc2"), f"{name}.mlp"
        )
        value = self._add_and_normalise(index, branch, value, "norm2")
        return [value, *self._project(index + 1, value)] if index + 1 < len(self.blocks) else [value]

    def _project(self, index: int, value: str) -> list[str]:
        """Query, key and value: three products are faster than one whose result has to be split."""
        prepared = self.linear.prepare(value, f"block{index}.input")
        weights, biases = (np.split(array, 3) for array in self._layer(index, "attn.qkv"))
        parts = zip(("query", "key", "value"), weights, biases, strict=True)
        return [self.linear.apply(prepared, weight, bias, f"block{index}.{part}") for part, weight, bias in parts]

    def _add_and_normalise(self, index: int, branch: str, residual: str, norm: str) -> str:
        # Sum, not Add: Add would be fused into SkipLayerNormalization, which takes more than twice the time of the two.
        total = self.graph.node("Sum", branch, residual, name=f"block{index}.{norm}.sum")
        return self._normalise(total, f"{self.blocks[index]}.{norm}", f"block{index}.{norm}")

    def _normalise(self, value: str, source: str, name: str) -> str:
        scale, bias = (
            self.graph.weight(f"{name}.{part}", self.weights[f"{source}.{part}"]) for part in ("weight", "bias")
        )
        return self.graph.node(
            "LayerNormalization", value, scale, bias, axis=-1, epsilon=self.architecture.norm_eps, name=name
        )

    def _layer(self, index: int, part: str) -> tuple[np.ndarray, np.ndarray]:
        source = f"{self.blocks[index]}.{part}"
        return self.weights[f"{source}.weight"], self.weights[f"{source}.bias"]
