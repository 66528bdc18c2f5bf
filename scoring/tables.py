"""Images on their way, as Arrow tables: the pixels of each, or what backbones made of them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.heads.head import Float32
from models.images.preprocess import ImageError
from models.manifest import InputSpec
from scoring.decode import Decoded
from scoring.embed import Embedded

Error = tuple[str, str] | None


def of_decoded(images: Sequence[Decoded], ways: int) -> pa.Table:
    """Returns N images with a column of pixels for each of the ways in which they were decoded."""
    table = _of_images([each.path for each in images], [each.size for each in images])
    for at in range(ways):
        several = [each.pixels[at] for each in images]
        table |= _of_errors([(each.code, each.detail) if isinstance(each, ImageError) else None for each in several], at)
        pixels = [None if isinstance(each, ImageError) else each.tobytes() for each in several]
        table[_name("pixels", at)] = pa.array(pixels, pa.binary())
    return pa.table(table)


def to_decoded(table: pa.Table, specs: Sequence[InputSpec]) -> list[Decoded]:
    """Returns the images of such a table, whose pixels are views of it.

    Args:
        specs: of the ways, in order.
    """
    ways = []
    for at, spec in enumerate(specs):
        told = zip(_errors_in(table, at), table[_name("pixels", at)], strict=True)
        shape = spec.height, spec.width, 3
        ways.append(
            [ImageError(*error) if error else np.frombuffer(held.as_buffer(), np.uint8).reshape(shape) for error, held in told]
        )
    images = zip(table["path"].to_pylist(), table["bytes"].to_pylist(), zip(*ways, strict=True), strict=True)
    return [Decoded(path, size, pixels) for path, size, pixels in images]


def of_embedded(embedded: Embedded) -> pa.Table:
    """Returns N images with a column of embeddings for each backbone."""
    table = _of_images(embedded.paths, embedded.sizes)
    for at, (errors, vectors) in enumerate(zip(embedded.errors, embedded.embeddings, strict=True)):
        rows = iter(vectors)
        held = pa.array([None if error else next(rows) for error in errors], pa.list_(pa.float32(), vectors.shape[1]))
        table |= _of_errors(errors, at) | {_name("embedding", at): held}
    return pa.table(table)


def to_embedded(table: pa.Table, backbones: int) -> Embedded:
    """Returns the images of such a table."""
    errors = [_errors_in(table, at) for at in range(backbones)]
    vectors = [_vectors(table[_name("embedding", at)]) for at in range(backbones)]
    return Embedded(table["path"].to_pylist(), table["bytes"].to_pylist(), errors, vectors)


def _name(what: str, at: int) -> str:
    return f"{what}_{at}" if at else what


def _of_images(paths: Sequence[str], sizes: Sequence[int | None]) -> dict[str, pa.Array]:
    return {"path": pa.array(paths, pa.string()), "bytes": pa.array(sizes, pa.int64())}


def _of_errors(errors: Sequence[Error], at: int) -> dict[str, pa.Array]:
    return {
        _name("error", at): pa.array([error and error[0] for error in errors], pa.string()),
        _name("detail", at): pa.array([error and error[1] for error in errors], pa.string()),
    }


def _errors_in(table: pa.Table, at: int) -> list[Error]:
    told = zip(table[_name("error", at)].to_pylist(), table[_name("detail", at)].to_pylist(), strict=True)
    return [None if code is None else (code, detail) for code, detail in told]


def _vectors(column: pa.ChunkedArray) -> Float32:
    flat: Float32 = column.combine_chunks().drop_null().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, column.type.list_size)
