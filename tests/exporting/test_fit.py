"""Pixels fitted by ONNX operators, beside Pillow's."""

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from exporting.fit import fit
from exporting.names import IMAGE
from exporting.steps import Steps
from models.images.preprocess import Pixels, fit_pixels
from models.manifest import InputSpec
from tests.helpers.images import noise

SPECS = (
    InputSpec(height=32, width=32),
    InputSpec(height=24, width=40, interpolation="bilinear"),
    InputSpec(height=41, width=23),
    InputSpec(height=24, width=31, resize="stretch"),
    InputSpec(height=28, width=28, shortest_edge=32),
)
SIDES = st.integers(1, 150)


@cache
def fitter(spec: InputSpec) -> Callable[[Pixels], Pixels]:
    steps = Steps("fit")
    fit(steps, spec, "pixels")
    graph = helper.make_graph(
        steps.nodes,
        "fit",
        [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", spec.height, spec.width, 3])],
        steps.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return lambda images: session.run(None, {IMAGE: images})[0]


@given(spec=st.sampled_from(SPECS), height=SIDES, width=SIDES, seed=st.integers(0, 9))
@settings(deadline=None)
def test_pixels_of_any_size_are_those_of_pillow(spec: InputSpec, height: int, width: int, seed: int) -> None:
    """On noise, which makes every error large. Where a sum lies between two levels, the last bit of a weight decides."""
    images = np.stack([noise(height, width, seed=seed + which) for which in range(2)])
    here = fitter(spec)(images).astype(int)
    difference = np.abs(here - np.stack([fit_pixels(image, spec) for image in images]))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


@pytest.mark.parametrize(("height", "width"), [(640, 480), (480, 640), (333, 500), (1000, 160), (41, 23)])
def test_photographs_of_usual_sizes_are_fitted_as_pillow_does(height: int, width: int) -> None:
    image = noise(height, width)
    assert (fitter(SPECS[2])(image[None])[0] == fit_pixels(image, SPECS[2])).all()
