"""Tables between the steps give back the values that were put in."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.images.preprocess import ImageError, Pixels
from models.manifest import InputSpec
from scoring.decode import Decoded
from scoring.embed import Embedded
from scoring.tables import of_decoded, of_embedded, to_decoded, to_embedded

SPECS = [InputSpec(height=2, width=3), InputSpec(height=4, width=4)]
TEXTS = st.text(max_size=5)
ERRORS = st.tuples(TEXTS, TEXTS)
SIZES = st.none() | st.integers(0, 2**40)


def pixels(spec: InputSpec) -> st.SearchStrategy[Pixels]:
    size = spec.height * spec.width * 3
    return st.binary(min_size=size, max_size=size).map(lambda data: np.frombuffer(data, np.uint8).reshape(spec.height, -1, 3))


def told(image: Decoded) -> list[object]:
    return [(each.code, each.detail) if isinstance(each, ImageError) else each.tolist() for each in image.pixels]


DECODED = st.builds(Decoded, TEXTS, SIZES, st.tuples(*(pixels(spec) | ERRORS.map(lambda e: ImageError(*e)) for spec in SPECS)))


@given(images=st.lists(DECODED, max_size=6))
@settings(deadline=None)
def test_pixels_come_back(images: list[Decoded]) -> None:
    back = to_decoded(of_decoded(images, len(SPECS)), SPECS)
    assert [(each.path, each.size, told(each)) for each in back] == [(each.path, each.size, told(each)) for each in images]


@given(errors=st.lists(st.tuples(st.none() | ERRORS, st.none() | ERRORS), max_size=6), seed=st.integers(0, 9))
@settings(deadline=None)
def test_embeddings_come_back(errors: list[tuple[tuple[str, str] | None, tuple[str, str] | None]], seed: int) -> None:
    rng, of_each = np.random.default_rng(seed), [[several[at] for several in errors] for at in (0, 1)]
    vectors = [rng.normal(size=(of_one.count(None), 3 + at)).astype(np.float32) for at, of_one in enumerate(of_each)]
    paths, sizes = [str(at) for at in range(len(errors))], [None if at % 2 else at for at in range(len(errors))]
    back = to_embedded(of_embedded(Embedded(paths, sizes, of_each, vectors)), 2)
    assert (back.paths, back.sizes, back.errors) == (paths, sizes, of_each)
    for found, wanted in zip(back.embeddings, vectors, strict=True):
        np.testing.assert_array_equal(found, wanted)
