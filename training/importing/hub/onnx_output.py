"""The embedding among the outputs of an ONNX file in transformers.js' layout."""

from functools import partial

import numpy as np
import onnx
from onnx import helper, numpy_helper

from training.importing.classifier import cut
from training.importing.foreign import OnnxFile
from training.importing.hub.folder import HubFolder
from training.importing.hub.preprocessing import Preprocessing

_TOKENS = "last_hidden_state"
# Families whose embedding is the first of their tokens.
_CLASS_TOKEN = ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit")
_POOLED = ("image_embeds", "pooler_output")


def open_onnx(folder: HubFolder, preprocessing: Preprocessing) -> OnnxFile:
    """Opens a folder's ONNX file.

    Raises:
        GraphError: it is no network of one image input, or of images of another size.
    """
    assert folder.onnx is not None
    normalisation = preprocessing.mean, preprocessing.std
    side = preprocessing.spec.height
    return OnnxFile(folder.onnx, normalisation, side, adapt=partial(with_embedding_alone, family=folder.family))


def with_embedding_alone(model: onnx.ModelProto, family: str) -> onnx.ModelProto:
    """Returns the model with the embedding of its family as the only output; as it is where no output is named so."""
    names = {output.name for output in model.graph.output}
    pooled = [name for name in _POOLED if name in names and not (family == "vit" and name == "pooler_output")]
    if pooled:
        return cut(model, pooled[0])
    if _TOKENS not in names or family not in _CLASS_TOKEN:
        return model
    tokens = cut(model, _TOKENS)
    graph = tokens.graph
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "class_token"))
    graph.node.append(helper.make_node("Gather", [_TOKENS, "class_token"], ["embeddings"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("embeddings", onnx.TensorProto.FLOAT, None))
    return tokens
