"""Linear layers, laid out for the processor's cache.

ONNX Runtime's fp32 MatMul reads the rows of its left operand side by side. Where a row is a multiple of 4 KiB
(1024 or 4096 floats, as in emotion2vec+ large), all rows fall into the same few cache sets and push each other out:
measured, a quarter of the speed is lost. So every input gets `PADDING` more columns (one cache line). The first of
them holds a constant, and the weight's row below it the bias, which therefore costs nothing either.
"""

from typing import Protocol

import numpy as np

from .architecture import Convolution
from .graph_writer import MICROSOFT, GraphWriter
from .windows import write_windows

PADDING = 16
# Carries the second layer's bias through GELU: GELU(8) is 8 in float32, and dividing by 8 is exact.
CARRIER = 8.0


class Linear(Protocol):
    """Writes linear layers on values [rows, columns]; weights come as PyTorch keeps them, [out, in]."""

    def begin(self, rows: str) -> None:
        """Says how many rows every prepared value will have, as int64 [1]; to be called outside of any `scan`."""

    def prepare(self, value: str, name: str):
        """The form of a value that `apply` takes; prepare once where several layers share an input."""

    def apply(self, prepared, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        """`value @ weight.T + bias`."""

    def feed_forward(
        self, value: str, up: tuple[np.ndarray, np.ndarray], down: tuple[np.ndarray, np.ndarray], name: str
    ) -> str:
        """Linear, exact GELU, linear."""

    def convolve(self, value: str, layer: Convolution, kernel: np.ndarray, name: str) -> str:
        """A convolution of frames [n, channels], without bias and padding; kernel [layer.kernel * channels, out]."""


class PaddedLinear:
    """For fp32: padded columns, bias inside the weight."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph
        self._columns = ""

    def begin(self, rows: str) -> None:
        # f32 [rows, PADDING], a 1 in the first column; written once and shared by all layers.
        shape = self._graph.node("Concat", rows, self._graph.integers(1), axis=0, name="padding.shape")
        columns = np.zeros((1, PADDING))
        columns[:, 0] = 1.0
        self._columns = self._graph.node(
            "Expand", self._graph.weight("padding.columns", columns), shape, name="padding"
        )

    def prepare(self, value: str, name: str) -> str:
        return self._graph.node("Concat", value, self._columns, axis=1, name=f"{name}.padded")

    def apply(self, prepared: str, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        return self._graph.node(
            "MatMul", prepared, self._graph.weight(f"{name}.weight", _padded(weight, bias, 1.0)), name=name
        )

    def feed_forward(
        self, value: str, up: tuple[np.ndarray, np.ndarray], down: tuple[np.ndarray, np.ndarray], name: str
    ) -> str:
        weight = _padded(*up, 1.0)
        carrier = np.zeros((len(weight), PADDING), dtype=np.float32)
        carrier[up[0].shape[1], 0] = CARRIER
        weight = self._graph.weight(f"{name}.up.weight", np.concatenate([weight, carrier], axis=1))
        hidden = self._graph.node("MatMul", self.prepare(value, f"{name}.up"), weight, name=f"{name}.up")
        hidden = self._graph.node("Gelu", hidden, domain=MICROSOFT, name=f"{name}.gelu")
        return self._graph.node(
            "MatMul", hidden, self._graph.weight(f"{name}.down.weight", _padded(*down, CARRIER)), name=f"{name}.down"
        )

    def convolve(self, value: str, layer: Convolution, kernel: np.ndarray, name: str) -> str:
        windows = write_windows(self._graph, layer, value, len(kernel), name)
        # Rows of three frames of 512 are no multiple of 4 KiB; there is nothing to pad.
        return self._graph.node("MatMul", windows, self._graph.weight(f"{name}.weight", kernel), name=name)


def _padded(weight: np.ndarray, bias: np.ndarray, constant: float) -> np.ndarray:
    """[out, in] and [out] -> [in + PADDING, out]; the input's first padding column holds `constant`."""
    rows = np.zeros((PADDING, len(weight)), dtype=np.float32)
    rows[0] = bias / np.float32(constant)
    return np.concatenate([weight.T, rows])
