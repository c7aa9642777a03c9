"""Linear layers as 8-bit integer products; everything between them stays in fp32.

Weights have one scale for each output channel and 7 or 8 bits (`processor.py` says which). Activations are measured at
run time, with one scale for each chunk of rows: in a batch, the loudest row sets the scale of its chunk, so that int8
results of a batch and of single segments differ slightly. model.json says "precision": "int8" and the bits of the
weights ("weight_bits"): the worker runs such a model on one segment at a time, and 8-bit weights only on processors
that add their products exactly.
"""

import numpy as np

from .graph_writer import MICROSOFT, GraphWriter


class Int8Linear:
    """The `Linear` of a quantised network; a prepared value is the names of its integers, scale and zero point."""

    def __init__(self, graph: GraphWriter, weight_bits: int) -> None:
        self._graph = graph
        # Symmetric: 63 or 127 levels on either side of zero.
        self._levels = 2 ** (weight_bits - 1) - 1

    def begin(self, rows: str) -> None:
        """Nothing here depends on the rows."""

    def prepare(self, value: str, name: str) -> list[str]:
        return self._graph.node("DynamicQuantizeLinear", value, outputs=3, name=f"{name}.quantised")

    def apply(self, prepared: list[str], weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        return self._product(prepared, weight.T, self._graph.weight(f"{name}.bias", bias), name)

    def feed_forward(
        self, value: str, up: tuple[np.ndarray, np.ndarray], down: tuple[np.ndarray, np.ndarray], name: str
    ) -> str:
        hidden = self.apply(self.prepare(value, f"{name}.up"), *up, f"{name}.up")
        hidden = self._graph.node("Gelu", hidden, domain=MICROSOFT, name=f"{name}.gelu")
        return self.apply(self.prepare(hidden, f"{name}.down"), *down, f"{name}.down")

    def convolve(self, windows: str, kernel: np.ndarray, name: str) -> str:
        return self._product(self.prepare(windows, name), kernel, "", name)

    def _product(self, prepared: list[str], weight: np.ndarray, bias: str, name: str) -> str:
        """`prepared @ weight + bias`, weight [in, out]."""
        integers, scale, zero = prepared
        weight_scale = np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny) / self._levels
        levels = np.rint(weight / weight_scale).astype(np.int8)
        return self._graph.node(
            "MatMulIntegerToFloat",
            integers,
            self._graph.weight(f"{name}.weight", levels),
            scale,
            self._graph.weight(f"{name}.scale", weight_scale),
            zero,
            "",
            bias,
            domain=MICROSOFT,
            name=name,
        )
