"""Heads and support indices as rows of tables on a device, filled up so that those of similar size share a table."""

import numpy as np

from models.answers.tables import Rows
from models.heads.head import Head
from models.novelty.support_index import SupportIndex

KINDS = ("means", "examples", "negatives")
"""What the rows of an index are of, in their order. Under each name a row says which of its kind are real."""


def head_rows(head: Head) -> Rows:
    """Returns the rows of a head. Classes that only fill it up have a probability of zero."""
    ways = len(head.labels)
    pad = _padded(ways) - ways
    return {
        "weight": np.pad(head.weight, ((0, pad), (0, 0))),
        "bias": np.pad(head.bias, (0, pad), constant_values=-np.inf),
        "temperature": np.array(head.options.temperature),
        "centre": np.array(head.options.centre),
        "independent": np.array(head.independent),
    }


def index_rows(index: SupportIndex) -> Rows:
    """Returns the rows of an index: class means, examples and negatives, each filled up."""
    ends = [index.ways, index.ways + index.examples]
    codes, scales = np.split(index.codes, ends), np.split(index.scales, ends)
    counts = [len(each) for each in scales]
    pads = [_padded(count) - count for count in counts]
    real = [np.arange(_padded(count)) < count for count in counts]
    return {
        "codes": np.concatenate([np.pad(each, ((0, pad), (0, 0))) for each, pad in zip(codes, pads, strict=True)]),
        "scales": np.concatenate([np.pad(each, (0, pad)) for each, pad in zip(scales, pads, strict=True)]),
        **dict(zip(KINDS, real, strict=True)),
        "usual": np.array(index.usual, np.float32),
        "threshold": np.array(index.threshold, np.float32),
    }


def _padded(count: int) -> int:
    """Returns the next power of two; 0 for 0."""
    return 1 << (count - 1).bit_length() if count else 0
