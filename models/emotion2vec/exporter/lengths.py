"""Which frames of a padded batch are real."""

from dataclasses import dataclass

from onnx import TensorProto

from .architecture import Architecture
from .graph_writer import GraphWriter


@dataclass(frozen=True)
class FrameMask:
    """Names of valid frames: bool [batch, frames], 1 and 0 as f32 [batch, frames, 1], their count f32 [batch, 1]."""

    valid: str
    factor: str
    count: str


def write_frame_mask(graph: GraphWriter, architecture: Architecture, features: str, lengths: str) -> FrameMask:
    """A frame is real when all its samples are: floor((length - receptive field) / stride) + 1 of them.

    A length below the receptive field counts as one frame, so that nothing divides by zero.
    """
    beyond = graph.node(
        "Sub", lengths, graph.integers(architecture.receptive_field, scalar=True), name="length_beyond_first_frame"
    )
    beyond = graph.node("Max", beyond, graph.integers(0, scalar=True), name="length_beyond_first_frame")
    count = graph.node("Div", beyond, graph.integers(architecture.stride, scalar=True), name="further_frames")
    count = graph.node("Add", count, graph.integers(1, scalar=True), name="frame_count")
    count = graph.node("Unsqueeze", count, graph.integers(1), name="frame_count")
    index = graph.span(graph.dimension(features, 1, name="frames_total"), name="frame_index")
    valid = graph.node("Less", index, count, name="frame_valid")
    factor = graph.node(
        "Unsqueeze",
        graph.node("Cast", valid, to=TensorProto.FLOAT, name="frame_factor"),
        graph.integers(2),
        name="frame_factor",
    )
    return FrameMask(valid, factor, graph.node("Cast", count, to=TensorProto.FLOAT, name="frame_count_f32"))
