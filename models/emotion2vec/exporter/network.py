"""The whole network as one ONNX graph under emofleet's model contract.

Written by hand, not traced: every length is computed inside the graph, so there is no traced
length to go beyond, and the operators are the fused ones that ONNX Runtime has kernels for.
"""

from onnx import ModelProto, TensorProto, helper

from .architecture import Architecture
from .attention import Attention, FusedAttention
from .bf16 import DOMAIN, Bf16Attention, Bf16Linear
from .checkpoint import Weights
from .encoder import write_encoder
from .frontend import write_convolutions, write_normalisation
from .graph_writer import GraphWriter
from .head import write_head
from .int8 import Int8Linear
from .lengths import write_frame_mask
from .linear import Linear, PaddedLinear
from .positions import write_positions

PRODUCER = "emofleet emotion2vec exporter"


# The names that model.json gives for the precision of the linear layers.
PRECISIONS = ("fp32", "int8", "bf16")


def write_network(
    architecture: Architecture, weights: Weights, labels: int, precision: str = "fp32", weight_bits: int = 7
) -> ModelProto:
    """The graph of the model contract (docs/architecture.md): `waveform` and `lengths` in, four outputs.

    `weight_bits`, 7 or 8, is for int8.
    """
    graph = GraphWriter(scan_rank=2 if precision == "bf16" else None)
    linear, attention = _writers(graph, architecture, weights, precision, weight_bits)
    waveform = write_normalisation(graph, architecture, "waveform", "lengths")
    features = write_convolutions(graph, architecture, weights, linear, waveform)
    mask = write_frame_mask(graph, architecture, features, "lengths")
    features = write_positions(graph, architecture, weights, features, mask)
    frames = write_encoder(graph, architecture, weights, linear, attention, features, mask)
    write_head(graph, weights, frames, mask)
    width = architecture.width
    inputs = [_tensor("waveform", "batch", "samples"), _tensor("lengths", "batch", kind=TensorProto.INT64)]
    outputs = [
        _tensor("logits", "batch", labels),
        _tensor("embedding", "batch", width),
        _tensor("frames", "batch", "frames_count", width),
        _tensor("frame_logits", "batch", "frames_count", labels),
    ]
    return graph.model(inputs, outputs, PRODUCER, [DOMAIN] if precision == "bf16" else [])


def _writers(
    graph: GraphWriter, architecture: Architecture, weights: Weights, precision: str, weight_bits: int
) -> tuple[Linear, Attention]:
    match precision:
        case "bf16":
            return Bf16Linear(graph), Bf16Attention(graph, architecture, weights)
        case "int8":
            return Int8Linear(graph, weight_bits), FusedAttention(graph, architecture, weights)
        case _:
            return PaddedLinear(graph), FusedAttention(graph, architecture, weights)


def _tensor(name: str, *shape, kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))
