"""ONNX nodes written as arithmetic: values that Python's operators combine, each of which adds a node to a graph."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A value inside a graph, of a floating-point type. A number or an array beside it becomes a constant of its type."""

    steps: "Steps"
    name: str
    dtype: type[np.floating[Any]] = np.float32

    def __add__(self, other: "Operand") -> "Value":
        return self.steps("Add", self, self._like(other), dtype=self.dtype)

    def __sub__(self, other: "Operand") -> "Value":
        return self.steps("Sub", self, self._like(other), dtype=self.dtype)

    def __rsub__(self, other: "Operand") -> "Value":
        return self.steps("Sub", self._like(other), self, dtype=self.dtype)

    def __mul__(self, other: "Operand") -> "Value":
        return self.steps("Mul", self, self._like(other), dtype=self.dtype)

    def __truediv__(self, other: "Operand") -> "Value":
        return self.steps("Div", self, self._like(other), dtype=self.dtype)

    def __matmul__(self, other: "Operand") -> "Value":
        return self.steps("MatMul", self, self._like(other), dtype=self.dtype)

    def at_least(self, other: "Operand") -> "Value":
        """Returns the larger of the two."""
        return self.steps("Max", self, self._like(other), dtype=self.dtype)

    def at_most(self, other: "Operand") -> "Value":
        """Returns the smaller of the two."""
        return self.steps("Min", self, self._like(other), dtype=self.dtype)

    def below(self, other: "Operand") -> "Value":
        """Returns booleans, for `where`."""
        return self.steps("Less", self, self._like(other))

    def where(self, yes: "Operand", no: "Operand") -> "Value":
        """Returns `yes` where these booleans are true, and `no` elsewhere. One of the two is a value."""
        dtype = next(each.dtype for each in (yes, no) if isinstance(each, Value))
        return self.steps("Where", self, *(self.steps.constant(each, dtype) for each in (yes, no)), dtype=dtype)

    def apply(self, operator: str, **attributes: Any) -> "Value":
        """Returns the result of an operator of one input."""
        return self.steps(operator, self, dtype=self.dtype, **attributes)

    def reduced(self, operator: str, axis: int) -> "Value":
        """Returns a reduction along one axis, which stays with a length of 1."""
        return self.steps(operator, self, self.steps.integers(axis), dtype=self.dtype, keepdims=1)

    def columns(self, start: int, end: int) -> "Value":
        """Returns a part of the last axis."""
        bounds = (self.steps.integers(each) for each in (start, end, -1))
        return self.steps("Slice", self, *bounds, dtype=self.dtype)

    def cast(self, dtype: type[np.floating[Any]]) -> "Value":
        """Returns the value in another floating-point type."""
        return self.steps("Cast", self, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def on(self, steps: "Steps") -> "Value":
        """Returns the value for other steps, those of a branch, which see all that is before it."""
        return Value(steps, self.name, self.dtype)

    def _like(self, other: "Operand") -> "Value":
        return self.steps.constant(other, self.dtype)


Operand = Value | float | NDArray[Any]


@dataclass(eq=False)
class Steps:
    """Nodes and constants in the making.

    Attributes:
        prefix: what all names begin with, so that they meet no others in a graph.
    """

    prefix: str
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def __call__(
        self, operator: str, *inputs: Value, dtype: type[np.floating[Any]] = np.float32, output: str = "", **attributes: Any
    ) -> Value:
        """Adds a node and returns its output, which is of that type.

        Args:
            output: its name; by default one is made.
        """
        name = output or f"{self.prefix}/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, [each.name for each in inputs], [name], name=name, **attributes))
        return Value(self, name, dtype)

    def either(self, condition: Value, yes: Callable[["Steps"], Value], no: Callable[["Steps"], Value]) -> Value:
        """Returns the value of one of two branches, of which only that one is computed. Both give float64.

        Args:
            condition: a boolean (1,).
            yes, no: add the steps of a branch.
        """
        graphs = {}
        for name, add in (("then_branch", yes), ("else_branch", no)):
            branch = Steps(f"{self.prefix}/{name}_{len(self.nodes)}")
            result = helper.make_tensor_value_info(add(branch).name, TensorProto.DOUBLE, None)
            graphs[name] = helper.make_graph(branch.nodes, name, [], [result], branch.constants)
        return self("If", condition, dtype=np.float64, **graphs)

    def constant(self, operand: Operand, dtype: type[np.floating[Any]]) -> Value:
        """Returns a number or an array as a value of that type; a value as it is."""
        return operand if isinstance(operand, Value) else self.stored(np.asarray(operand, dtype))

    def integers(self, *values: int) -> Value:
        """Returns integers that an operator takes beside its data, such as axes."""
        return self.stored(np.array(values, np.int64))

    def stored(self, array: NDArray[Any]) -> Value:
        """Returns an array, of whatever type, as a value."""
        name = f"{self.prefix}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return Value(self, name)
