"""What graphs with the worker's own operators have in common, whatever their precision."""

from abc import ABC, abstractmethod

import numpy as np

from .architecture import Convolution
from .graph_writer import GraphWriter

# Of the operators, in ONNX.
DOMAIN = "emofleet"


class OwnLinear(ABC):
    """The `Linear` of such a graph: the operator rounds its inputs itself, and may take windows or end with GELU."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def begin(self, rows: str) -> None:  # noqa: B027 - not abstract: nothing here depends on the rows
        """Does nothing."""

    def prepare(self, value: str, name: str) -> str:
        return value

    def apply(self, prepared: str, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        return self._product(prepared, weight.T, bias, name)

    def feed_forward(
        self, value: str, up: tuple[np.ndarray, np.ndarray], down: tuple[np.ndarray, np.ndarray], name: str
    ) -> str:
        hidden = self._product(value, up[0].T, up[1], f"{name}.up", gelu=1)
        return self.apply(hidden, *down, f"{name}.down")

    def convolve(self, value: str, layer: Convolution, kernel: np.ndarray, name: str) -> str:
        return self._product(value, kernel, np.zeros(kernel.shape[1]), name, window=layer.kernel, step=layer.stride)

    @abstractmethod
    def _product(self, value: str, weight: np.ndarray, bias: np.ndarray, name: str, **attributes) -> str:
        """`value @ weight + bias`, weight [in, out]; attributes of crates/speech/src/model/operators/linear.rs."""
