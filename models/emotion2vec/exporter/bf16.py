"""Linear layers, attention and grouped convolution in bf16: 8 significant bits, sums and everything between in fp32.

ONNX Runtime's CPU kernels have no bf16. The worker brings operators of its own (domain `emofleet`), for processors
with AVX512-BF16; ONNX Runtime alone does not load such a graph. `docs/decisions/0014-own-bf16-operators.md`.
"""

import ml_dtypes
import numpy as np

from .architecture import Architecture
from .attention import alibi_slopes
from .checkpoint import Weights
from .graph_writer import GraphWriter
from .own_linear import DOMAIN, OwnLinear
from .panels import panels

# Successive inputs that one instruction takes.
PAIR = 2


class Bf16Linear(OwnLinear):
    """In bf16."""

    def _product(self, value: str, weight: np.ndarray, bias: np.ndarray, name: str, **attributes) -> str:
        """`value @ weight + bias`, weight [in, out]."""
        return self._graph.node(
            "Bf16Linear",
            value,
            self._graph.weight(f"{name}.weight", _panels(weight)),
            self._graph.weight(f"{name}.bias", bias),
            domain=DOMAIN,
            name=name,
            **attributes,
        )


class Bf16Convolution:
    """The `GroupedConvolution` in bf16."""

    def __init__(self, graph: GraphWriter) -> None:
        self._graph = graph

    def apply(self, value: str, weight: np.ndarray, bias: np.ndarray, groups: int, name: str) -> str:
        size, kernel = weight.shape[1:]
        # [out, in, kernel] of each group -> [kernel * in, out]
        each = (part.transpose(2, 1, 0).reshape(kernel * size, -1) for part in np.split(weight, groups))
        return self._graph.node(
            "Bf16Convolution",
            value,
            self._graph.weight(f"{name}.weight", np.stack([_panels(part) for part in each])),
            self._graph.weight(f"{name}.bias", bias),
            domain=DOMAIN,
            groups=groups,
            kernel=kernel,
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


def _panels(weight: np.ndarray) -> np.ndarray:
    """[in, out] -> the bits of bf16 numbers, uint16 [out / PANEL, in / PAIR, PANEL, PAIR]."""
    return panels(weight.astype(ml_dtypes.bfloat16), PAIR).view(np.uint16)
