"""Pooling and the linear classifier, per utterance and per frame."""

from .checkpoint import Weights
from .graph_writer import GraphWriter
from .lengths import FrameMask


def write_head(graph: GraphWriter, weights: Weights, encoded: str, mask: FrameMask) -> None:
    """Writes the four outputs. Padding frames are zero in `frames` and `frame_logits`.

    The classifier is linear, so the mean of the real frames' logits is the logits of the mean.
    """
    kernel = graph.weight("classifier.weight", weights["proj.weight"].T)
    bias = graph.weight("classifier.bias", weights["proj.bias"])
    frames = graph.node("Mul", encoded, mask.factor, name="frames")
    summed = graph.node("ReduceSum", frames, graph.integers(1), keepdims=0, name="frames_sum")
    embedding = graph.node("Div", summed, mask.count, name="embedding")
    graph.node("Gemm", embedding, kernel, bias, name="logits")
    frame_logits = graph.node("MatMul", frames, kernel, name="frame_logits_product")
    frame_logits = graph.node("Add", frame_logits, bias, name="frame_logits_biased")
    graph.node("Mul", frame_logits, mask.factor, name="frame_logits")
