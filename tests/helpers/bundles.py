"""Bundles made for tests: one that is small and its own, and copies of the shipped one."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from models.bundle import GOLDEN, ONNX, ONNX_INT8, STATISTICS, golden_bytes, read_manifest, statistics_bytes, write_bundle
from models.heads.head import Float32
from models.images.preprocess import Pixels

SMALL = "small@1"
"""The id of the small bundle that many tests share: the fixtures `small_bundles` and `small_flags`."""

_SIDE, _POOL = 32, 8
_DIM = 3 * (_SIDE // _POOL) ** 2


def another_bundle(source: Path, folder: Path, name: str) -> str:
    """A bundle that does what `source` does, from backbone files of its own, and its id."""
    manifest = read_manifest(source).model_copy(update={"name": name})
    contents = {file: (source / file).read_bytes() for file in (STATISTICS, GOLDEN)}
    for file in manifest.files.keys() & {ONNX, ONNX_INT8}:
        graph = onnx.load(source / file)
        graph.doc_string = name
        contents[file] = graph.SerializeToString()
    write_bundle(folder, manifest, contents)
    return manifest.id


def small_bundle(
    like: Path,
    folder: Path,
    name: str,
    version: str = "1",
    created_at: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    brittle: bool = False,
    int8: bool = False,
) -> str:
    """A bundle whose backbone embeds an image as the mean colours of its 16 squares, and its id.

    It opens in no time, and recognises other images than the bundle `like`, from which it has its head defaults. A brittle one
    fails on images that are white throughout. With `int8` there is a file for that engine too, which does the same.
    """
    golden = np.random.default_rng(0).integers(0, 256, (4, _SIDE, _SIDE, 3), dtype=np.uint8)
    contents = {
        ONNX: _graph(brittle).SerializeToString(),
        STATISTICS: statistics_bytes(np.zeros(_DIM, np.float32), _mean_colours(golden)),
        GOLDEN: golden_bytes(golden, _mean_colours(golden)),
    }
    if int8:
        contents[ONNX_INT8] = contents[ONNX]
    manifest = read_manifest(like).model_copy(
        update={"name": name, "version": version, "embedding_dim": _DIM, "created_at": created_at}
    )
    write_bundle(folder, manifest, contents)
    return manifest.id


def weighted_bundle(like: Path, folder: Path, name: str, factor: int = 1) -> str:
    """A bundle as `small_bundle` makes it, whose backbone ends with a matrix product, and its id.

    Args:
        factor: of the embeddings, so that bundles differ.
    """
    id_ = small_bundle(like, folder / "without", name)
    path = folder.joinpath("without", *id_.split("@"))
    model = onnx.load(path / ONNX)
    model.graph.node[-1].output[0] = "means"
    model.graph.node.append(helper.make_node("MatMul", ["means", "weight"], ["embeddings"]))
    model.graph.initializer.append(numpy_helper.from_array(factor * np.eye(_DIM, dtype=np.float32), "weight"))
    golden = load_file(path / GOLDEN)
    contents = {
        ONNX: model.SerializeToString(),
        STATISTICS: (path / STATISTICS).read_bytes(),
        GOLDEN: golden_bytes(golden["pixels"], factor * golden["embeddings"]),
    }
    write_bundle(folder, read_manifest(path), contents)
    return id_


def spoil(folder: Path, id_: str, file: str = ONNX) -> None:
    """Changes a bit of one of a bundle's files; doing it again mends it."""
    path = folder.joinpath(*id_.split("@"), file)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _mean_colours(pixels: Pixels) -> Float32:
    count = _SIDE // _POOL
    squares = pixels.reshape(-1, count, _POOL, count, _POOL, 3).astype(np.float32) / 255.0
    means: Float32 = squares.mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(-1, _DIM)
    return means


def _graph(brittle: bool) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["squares"], kernel_shape=[_POOL] * 2, strides=[_POOL] * 2),
        helper.make_node("Flatten", ["squares"], ["colours"]),
        helper.make_node("Div", ["colours", "levels"], ["means" if brittle else "embeddings"]),
    ]
    constants = [numpy_helper.from_array(np.array(255.0, np.float32), "levels")]
    if brittle:  # Adds zeros[darkest level of the image]; there is none for 255.
        nodes += [
            helper.make_node("ReduceMin", ["float"], ["darkest"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Cast", ["darkest"], ["level"], to=TensorProto.INT64),
            helper.make_node("Gather", ["zeros", "level"], ["zero"]),
            helper.make_node("Unsqueeze", ["zero", "one"], ["column"]),
            helper.make_node("Add", ["means", "column"], ["embeddings"]),
        ]
        constants += [
            numpy_helper.from_array(np.zeros(255, np.float32), "zeros"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ]
    graph = helper.make_graph(
        nodes,
        "mean colours",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", _SIDE, _SIDE, 3])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", _DIM])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
