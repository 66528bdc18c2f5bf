"""The records of captured predictions that the store takes and returns."""

from dataclasses import dataclass
from datetime import datetime

from models.arrays import Array
from models.heads.head import Float32
from server.store.records import TaskKey


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that a captured prediction had.

    Attributes:
        known, novelty: None where the request did not ask for strangers.
        labels: those that applied; None where an image has one label.
    """

    label: str
    probability: float
    known: bool | None
    novelty: float | None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewCapture:
    """A prediction that is about to be captured.

    Attributes:
        key, version: the task, and its version that answered.
        backbone_sha256: the hash of the backbone file that made the embedding.
        image: the bytes as they were sent.
        embedding: float32 (D,), where the engine left it.
        forgettings: of the task when this was answered: what was taken before one of them is not stored after it.
    """

    id: str
    key: TaskKey
    version: int
    backbone_sha256: str
    image: bytes
    embedding: Array
    answered: Answered
    created_at: datetime
    forgettings: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes of image and embedding."""
        return len(self.image) + 4 * len(self.embedding)


@dataclass(frozen=True, slots=True, eq=False)
class CaptureInfo:
    """A stored capture without its image.

    Attributes:
        version: the one that answered.
        sha256: of the image; None where the image was not kept.
        embedding: float32 (D,), by the backbone file with the hash `backbone_sha256`.
    """

    id: str
    version: int
    created_at: datetime
    media_type: str
    size: int
    sha256: str | None
    backbone_sha256: str
    embedding: Float32
    answered: Answered


@dataclass(frozen=True, slots=True, eq=False)
class ScannedCaptures:
    """A task's captures whose embeddings are of one backbone, the newest first.

    Attributes:
        ids: N.
        embeddings: float32 (N, D).
        others: how many more captures there are, whose embeddings are of other backbones.
    """

    ids: tuple[str, ...]
    embeddings: Float32
    others: int
