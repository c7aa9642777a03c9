"""Linear layers as 8-bit integer products; everything between them stays in fp32.

Weights have one scale for each output channel and 7 or 8 bits (`processor.py` says which). Activations are measured at
run time. model.json says "precision": "int8" and the bits of the weights ("weight_bits"): the worker runs such a model
on one segment at a time, and 8-bit weights only on processors that add their products exactly.

`Int8Linear` writes ONNX Runtime's operators, with one scale for each chunk of rows: in a batch, the loudest row sets
the scale of its chunk, so that results of a batch and of single segments differ slightly. `RowwiseInt8Linear` writes
the worker's own operator (domain `emofleet`), for processors with AVX512-VNNI: each row has a scale and a zero of its
own.
"""

import numpy as np

from .architecture import Convolution
from .graph_writer import MICROSOFT, GraphWriter
from .own_linear import DOMAIN, OwnLinear
from .panels import panels
from .windows import write_windows

# Successive inputs that one instruction takes.
QUAD = 4


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

    def convolve(self, value: str, layer: Convolution, kernel: np.ndarray, name: str) -> str:
        windows = write_windows(self._graph, layer, value, len(kernel), name)
        return self._product(self.prepare(windows, name), kernel, "", name)

    def _product(self, prepared: list[str], weight: np.ndarray, bias: str, name: str) -> str:
        """`prepared @ weight + bias`, weight [in, out]."""
        integers, scale, zero = prepared
        levels, weight_scale = _quantise(weight, self._levels)
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


class RowwiseInt8Linear(OwnLinear):
    """In int8, with weights of 8 bits."""

    def _product(self, value: str, weight: np.ndarray, bias: np.ndarray, name: str, **attributes) -> str:
        """`value @ weight + bias`, weight [in, out]."""
        levels, scale = _quantise(weight, 127)
        return self._graph.node(
            "Int8Linear",
            value,
            self._graph.weight(f"{name}.weight", panels(levels, QUAD)),
            self._graph.weight(f"{name}.scale", scale),
            self._graph.weight(f"{name}.sum", levels.sum(axis=0, dtype=np.int32)),
            self._graph.weight(f"{name}.bias", bias),
            domain=DOMAIN,
            name=name,
            **attributes,
        )


def _quantise(weight: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """[in, out] -> int8 [in, out] with `levels` on either side of zero, and the scale of each column."""
    scale = np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny) / levels
    return np.rint(weight / scale).astype(np.int8), scale
