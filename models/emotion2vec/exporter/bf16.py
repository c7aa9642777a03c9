"""Linear layers and attention in bf16: 8 significant bits, sums in fp32, everything between them in fp32.

ONNX Runtime's CPU kernels have no bf16. The worker brings two operators of its own (domain `emofleet`), for processors
with AVX512-BF16; ONNX Runtime alone does not load such a graph. `docs/decisions/0014-own-bf16-operators.md`.
"""

import ml_dtypes
import numpy as np

from .architecture import Architecture
from .attention import alibi_slopes
from .checkpoint import Weights
from .graph_writer import MICROSOFT, GraphWriter

# Of the operators.
DOMAIN = "emofleet"
# Columns of a panel, as in crates/speech/src/model/bf16/product.rs.
PANEL = 32


class Bf16Linear:
    """The `Linear` of a network in bf16; the operator rounds its inputs itself."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def begin(self, rows: str) -> None:
        """Nothing here depends on the rows."""

    def prepare(self, value: str, name: str) -> str:
        return value

    def apply(self, prepared: str, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        return self._product(prepared, weight.T, bias, name)

    def feed_forward(
        self, value: str, up: tuple[np.ndarray, np.ndarray], down: tuple[np.ndarray, np.ndarray], name: str
    ) -> str:
        hidden = self.apply(value, *up, f"{name}.up")
        hidden = self._graph.node("Gelu", hidden, domain=MICROSOFT, name=f"{name}.gelu")
        return self.apply(hidden, *down, f"{name}.down")

    def convolve(self, windows: str, kernel: np.ndarray, name: str) -> str:
        return self._product(windows, kernel, np.zeros(kernel.shape[1]), name)

    def _product(self, value: str, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        """`value @ weight + bias`, weight [in, out]."""
        return self._graph.node(
            "Bf16Linear",
            value,
            self._graph.weight(f"{name}.weight", panels(weight)),
            self._graph.weight(f"{name}.bias", bias),
            domain=DOMAIN,
            name=name,
        )


class Bf16Attention:
    """ALiBi is computed in the operator, from its slopes."""

    def __init__(self, graph: GraphWriter, architecture: Architecture, weights: Weights) -> None:
        self._graph, self._extra = graph, architecture.extra_tokens
        self._slopes = graph.weight("alibi.slope", alibi_slopes(architecture, weights))

    def begin(self, features: str) -> None:
        """Nothing here depends on the features."""

    def apply(self, query: str, key: str, value: str, keys: str, name: str) -> str:
        return self._graph.node(
            "Bf16Attention", query, key, value, keys, self._slopes, domain=DOMAIN, extra=self._extra, name=name
        )


def panels(weight: np.ndarray) -> np.ndarray:
    """[in, out] -> the bits of bf16 numbers, uint16 [out / PANEL, in / 2, PANEL, 2], filled up with zeros.

    One instruction multiplies two successive inputs with two weights of each of 16 outputs, which are neighbours here.
    """
    inputs, outputs = (-(-size // unit) * unit for size, unit in zip(weight.shape, (2, PANEL), strict=True))
    whole = np.zeros((inputs, outputs), dtype=ml_dtypes.bfloat16)
    whole[: weight.shape[0], : weight.shape[1]] = weight.astype(ml_dtypes.bfloat16)
    return whole.reshape(inputs // 2, 2, outputs // PANEL, PANEL).transpose(2, 0, 3, 1).view(np.uint16)
