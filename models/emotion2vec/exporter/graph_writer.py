"""A thin writer of ONNX graphs: nodes with readable names, constants written once."""

from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

# ONNX Runtime's own operators: fused forms that the ONNX standard has no name for.
MICROSOFT = "com.microsoft"
STANDARD_OPSET = 20
IR_VERSION = 9


class GraphWriter:
    """Collects nodes and constants; a value is known by its name (a string)."""

    def __init__(self, *, scan_rank: int | None = None) -> None:
        """`scan_rank`: dimensions of what a `scan` gives, where ONNX Runtime can't ask the operators for them."""
        self._scan_rank = scan_rank
        self.nodes = []
        self.initializers: list[TensorProto] = []
        self._constants: dict[tuple, str] = {}
        self._names: dict[str, int] = {}

    def node(self, op: str, *inputs: str, name: str = "", domain: str = "", outputs: int = 1, **attributes):
        """Adds one operator; gives its output's name, or a list of names where `outputs` > 1."""
        name = self._unique(name or op.lower())
        results = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), results, name=name, domain=domain, **attributes))
        return results[0] if outputs == 1 else results

    def weight(self, name: str, values: np.ndarray) -> str:
        """A constant under its own name; floats are kept as float32."""
        name = self._unique(name)
        values = values.astype(np.float32) if values.dtype.kind == "f" else values
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, *values: int, scalar: bool = False) -> str:
        """An int64 constant, for shapes, axes and positions."""
        return self._constant(np.array(values[0] if scalar else values, dtype=np.int64))

    def number(self, value: float) -> str:
        """A float32 scalar constant."""
        return self._constant(np.array(value, dtype=np.float32))

    def slice(self, value: str, start: int | str, end: int | str, axis: int, step: int = 1, name: str = "slice") -> str:
        """`value[start:end:step]` along one axis; start and end are numbers, or names of int64 [1] values."""
        bounds = [bound if isinstance(bound, str) else self.integers(bound) for bound in (start, end)]
        return self.node("Slice", value, *bounds, self.integers(axis), self.integers(step), name=name)

    def scan(self, write_body: Callable[..., list[str]], *inputs: str, name: str) -> list[str]:
        """`write_body`, written once and run on each slice of the inputs' first axis; gives its float results, stacked.

        ONNX Runtime reads the slices in place and writes the results where they belong: only the body's own values are
        small, and that is what it is for.
        """
        outer, self.nodes = self.nodes, []
        taken = [self._unique(f"{name}.in{index}") for index in range(len(inputs))]
        results = write_body(*taken)
        body = helper.make_graph(
            self.nodes,
            f"{name}.body",
            [_float(value) for value in taken],
            [_float(value, self._scan_rank) for value in results],
        )
        self.nodes = outer
        given = [self._unique(f"{name}.out{index}") for index in range(len(results))]
        self.nodes.append(
            helper.make_node(
                "Scan", list(inputs), given, name=self._unique(name), body=body, num_scan_inputs=len(inputs)
            )
        )
        return given

    def ceiling_quotient(self, value: str, divisor: str, name: str) -> str:
        """int64 [1] / int64 [1], rounded up."""
        raised = self.node("Sub", self.node("Add", value, divisor, name=name), self.integers(1), name=name)
        return self.node("Div", raised, divisor, name=name)

    def span(self, end: str, step: str | None = None, name: str = "span") -> str:
        """0, step, 2 * step... below `end`; both int64 [1]."""
        scalars = [self.node("Squeeze", value, self.integers(0), name=name) for value in (end, step) if value]
        return self.node(
            "Range",
            self.integers(0, scalar=True),
            *scalars,
            *([] if step else [self.integers(1, scalar=True)]),
            name=name,
        )

    def dimension(self, value: str, axis: int, name: str = "dimension") -> str:
        """The size of one axis, as int64 [1]."""
        return self.node("Shape", value, start=axis, end=axis + 1, name=name)

    def model(
        self, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto], producer: str, domains: Sequence[str]
    ) -> ModelProto:
        graph = helper.make_graph(self.nodes, "emotion2vec", inputs, outputs, self.initializers)
        opsets = [helper.make_opsetid("", STANDARD_OPSET), helper.make_opsetid(MICROSOFT, 1)]
        opsets += [helper.make_opsetid(domain, 1) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=producer)

    def _constant(self, values: np.ndarray) -> str:
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            name = self._unique("constant")
            self.initializers.append(numpy_helper.from_array(values, name))
            self._constants[key] = name
        return self._constants[key]

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else f"{name}#{count}"


def _float(name: str, rank: int | None = None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None if rank is None else [None] * rank)
