"""How many images are embedded at once."""

import pytest

from models.bundle import SHIPPED, find_bundles, open_bundle
from models.engine import open_engine
from scoring.embed import Backbone, batch_of


@pytest.mark.parametrize(("id_", "images"), [("photos@1", 8), ("cifar-fs-resnet12@1", 32)])
def test_a_batch_on_a_cpu_has_so_many_pixels_or_what_the_engine_takes(id_: str, images: int) -> None:
    bundle = open_bundle(find_bundles(SHIPPED)[id_])
    assert batch_of(Backbone(bundle, open_engine(bundle, "onnx"))) == images
