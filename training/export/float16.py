"""Runs a bundle's float16 backbone on a CPU as a GPU would, for its accuracy to be measured at export."""

from dataclasses import fields
from typing import cast

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from models.bundle import ONNX_FP16, Bundle
from models.engine import Engine, open_engine


def open_as_on_gpu(bundle: Bundle) -> Engine:
    """Opens the bundle's float16 version on the CPU, where every operation rounds to float16 as it does on a GPU.

    Raises:
        EngineError: it does not run.
        BundleError: it is too far from float32.
    """
    return open_engine(_Rounded(*(getattr(bundle, field.name) for field in fields(bundle))), "onnx-fp16")


class _Rounded(Bundle):
    def read(self, file: str) -> bytes:
        content = super().read(file)
        return rounded(content) if file == ONNX_FP16 else content


def rounded(model: bytes) -> bytes:
    """Returns a float32 model that computes what a float16 model does, rounding after every operation.

    On a CPU, ONNX Runtime computes a float16 model in float32 and drops the casts between its operations. So values that
    overflow float16 on a GPU would pass there unseen.
    """
    graph = (proto := onnx.shape_inference.infer_shapes(onnx.load_from_string(model))).graph
    halves = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for weight in graph.initializer:
        _widen(weight)
    nodes: list[NodeProto] = []
    for node in graph.node:
        for attribute in node.attribute:
            _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in halves:
                node.output[place] = exact = f"{name}/exact"
                nodes.append(helper.make_node("Cast", [exact], [f"{name}/half"], to=TensorProto.FLOAT16))
                nodes.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))
    copied = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(copied)
    return cast("bytes", proto.SerializeToString())


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
