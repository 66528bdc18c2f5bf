"""A bundle of two small networks: the mean colours of an image, and words in the same space."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from models.bundle import TEXT, TOKENIZER, read_manifest, write_bundle
from models.heads.head import Float32
from models.manifest import TextTower
from tests.helpers.bundles import small_bundle

LENGTH, SCALE = 6, 20.0
_COLOURS = ("red", "green", "blue")
_NONSENSE = tuple(f"thing{i}" for i in range(8))
_WORDS = ("[PAD]", "[UNK]", "a", "picture", "of", *_COLOURS, *_NONSENSE)


def text_bundle(like: Path, folder: Path, name: str, further_numbers: int = 0) -> str:
    """A bundle as `small_bundle` makes it, which reads text too, and its id.

    A colour's name has the direction of images that are of that colour all over. Other names have random directions. With
    `further_numbers` the text network is broken: its embeddings have that many numbers more than those of images.
    """
    id_ = small_bundle(like, folder / "without", name)
    path = folder.joinpath("without", *id_.split("@"))
    manifest = read_manifest(path)
    contents = {file: (path / file).read_bytes() for file in manifest.files}
    contents |= {
        TEXT: _graph(manifest.embedding_dim + further_numbers).SerializeToString(),
        TOKENIZER: _tokenizer().to_str().encode(),
    }
    tower = TextTower(file=TEXT, tokenizer=TOKENIZER, length=LENGTH, template="a picture of {}", scale=SCALE)
    write_bundle(folder, manifest.model_copy(update={"text": tower}), contents)
    return id_


def word_vectors(dim: int) -> Float32:
    """The direction of each word, (V, D); those of the template have none. A third of the numbers is of each colour."""
    vectors = np.random.default_rng(0).normal(size=(len(_WORDS), dim)).astype(np.float32)
    vectors[: _WORDS.index("red")] = 0.0
    vectors[1] = 1.0
    for k, colour in enumerate(_COLOURS):
        vectors[_WORDS.index(colour)] = np.repeat(np.eye(3, dtype=np.float32)[k], dim // 3)
    return vectors


def vector_of(name: str, dim: int) -> Float32:
    """The direction of a name of one word, (D,), of norm one: an oracle for the network."""
    vector: Float32 = word_vectors(dim)[_WORDS.index(name)]
    return vector / np.linalg.norm(vector)


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=0, pad_token="[PAD]")
    return tokenizer


def _graph(dim: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["words", "input_ids"], ["vectors"]),
            helper.make_node("ReduceSum", ["vectors", "one"], ["embeddings"], keepdims=0),
        ],
        "sum of words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["N", LENGTH])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", dim])],
        [numpy_helper.from_array(word_vectors(dim), "words"), numpy_helper.from_array(np.array([1], np.int64), "one")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
