"""Which predictions count as uncertain, by hand."""

import numpy as np
import pytest

from server.journeys.capture import to_capture
from server.store.records import CaptureSetting

PROBABILITIES = np.array(
    [
        [0.90, 0.05, 0.05],  # sure
        [0.45, 0.05, 0.50],  # the second label is close
        [0.49, 0.26, 0.25],  # likelier wrong than right
        [0.65, 0.35, 0.00],
        [0.55, 0.36, 0.09],
    ]
)


@pytest.mark.parametrize(
    ("keep", "novelty", "expected"),
    [
        ("none", None, []),
        ("all", None, [0, 1, 2, 3, 4]),
        ("uncertain", None, [1, 2, 4]),
        ("uncertain", [0.2, 0.2, 0.2, 0.2, 0.2], [1, 2, 4]),
        ("uncertain", [0.6, 0.2, 0.2, 0.50004, 0.2], [0, 1, 2, 4]),  # novelty as it is answered, to four decimals
    ],
)
def test_uncertain_are_strangers_and_close_or_improbable_labels(
    keep: str, novelty: list[float] | None, expected: list[int]
) -> None:
    setting = CaptureSetting(keep=keep)  # type: ignore[arg-type]
    found = to_capture(setting, False, PROBABILITIES, None if novelty is None else np.array(novelty))
    assert found.tolist() == expected


def test_uncertain_are_labels_in_doubt_and_images_without_any_where_an_image_may_have_several() -> None:
    probabilities = np.array(
        [
            [0.90, 0.95, 0.05],  # two labels, both sure
            [0.90, 0.35, 0.05],  # the second is in doubt
            [0.90, 0.29, 0.71],
            [0.10, 0.05, 0.20],  # none at all
            [0.70, 0.05, 0.20],
        ]
    )
    assert to_capture(CaptureSetting(keep="uncertain"), True, probabilities, None).tolist() == [1, 3, 4]
    assert to_capture(CaptureSetting(keep="all"), True, probabilities[:, :1], None).tolist() == [0, 1, 2, 3, 4]
