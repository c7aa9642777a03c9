"""Convolutions over frames as matrix products."""

from .architecture import Convolution
from .graph_writer import GraphWriter


def write_windows(graph: GraphWriter, layer: Convolution, value: str, inner: int, name: str) -> str:
    """The frames under the kernel as a row: [n, channels] -> [(n - kernel) // stride + 1, inner], kernel * channels."""
    length = graph.dimension(value, 0, name=f"{name}.length")
    steps = graph.node("Sub", length, graph.integers(layer.kernel - layer.stride), name=f"{name}.steps")
    steps = graph.node("Div", steps, graph.integers(layer.stride), name=f"{name}.steps")
    end = graph.node("Mul", steps, graph.integers(layer.stride), name=f"{name}.end")
    first = graph.span(end, graph.integers(layer.stride), name=f"{name}.first")
    first = graph.node("Unsqueeze", first, graph.integers(1), name=f"{name}.first")
    frames = graph.node("Add", first, graph.integers(*range(layer.kernel)), name=f"{name}.frames")
    # One Gather copies each frame once, in whole rows; slices joined by Concat would copy twice.
    windows = graph.node("Gather", value, frames, axis=0, name=f"{name}.gathered")
    return graph.node("Reshape", windows, graph.integers(-1, inner), name=f"{name}.windows")
