"""Layer norm over the last axis and exact GELU after it."""

from typing import Protocol

import numpy as np

from .graph_writer import MICROSOFT, GraphWriter
from .own_linear import DOMAIN

# F.layer_norm, and FunASR's LayerNorm helper, both use this default.
NORM_EPS = 1e-5


class Activation(Protocol):
    """Writes the norm and GELU of f32 [.., columns]."""

    def apply(self, value: str, scale: np.ndarray, bias: np.ndarray, name: str) -> str:
        """Scale and bias f32 [columns]."""


class NormThenGelu:
    """ONNX Runtime's two operators."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def apply(self, value: str, scale: np.ndarray, bias: np.ndarray, name: str) -> str:
        value = self._graph.node(
            "LayerNormalization",
            value,
            self._graph.weight(f"{name}.norm.weight", scale),
            self._graph.weight(f"{name}.norm.bias", bias),
            axis=-1,
            epsilon=NORM_EPS,
            name=f"{name}.norm",
        )
        return self._graph.node("Gelu", value, domain=MICROSOFT, name=f"{name}.gelu")


class NormGelu:
    """The worker's operator for both, where its instructions are needed anyway."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def apply(self, value: str, scale: np.ndarray, bias: np.ndarray, name: str) -> str:
        return self._graph.node(
            "NormGelu",
            value,
            self._graph.weight(f"{name}.norm.weight", scale),
            self._graph.weight(f"{name}.norm.bias", bias),
            domain=DOMAIN,
            epsilon=NORM_EPS,
            name=f"{name}.gelu",
        )
