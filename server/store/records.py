"""What goes into the store and what comes out of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from models.heads.head import BackboneRef, Float32
from models.manifest import HeadOptions

Change = Literal["created", "added", "removed", "relabelled", "refreshed"]


class VersionConflict(Exception):
    """The active version is no longer the one that the new version was fitted from: read the support set and fit again."""


class ReplayExists(Exception):
    """Another request with the same idempotency key was answered meanwhile: read that answer with `Store.replay`."""


class TaskKey(NamedTuple):
    """A task's tenant and id. Whoever looks for a task, or for a part of it, names both."""

    tenant: str
    id: str


@dataclass(frozen=True, slots=True, eq=False)
class NewExample:
    """A labelled image about to be stored.

    Attributes:
        image: the bytes as they were sent, `size` many, of type `media_type`, hashing to `sha256` (hexadecimal). Where images
            are not kept, it and `sha256` are None: a hash tells whether a given image is the one.
        embedding: float32 (D,), made by the backbone of the head that comes with it.
        file_name: of the image, if its sender said so and images are kept.
    """

    id: str
    label: str
    image: bytes | None
    size: int
    media_type: str
    sha256: str | None
    embedding: Float32
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class ClassCount:
    """A class of a support set and the number of its examples."""

    label: str
    examples: int


class FittedOptions(HeadOptions):
    """How a version's head was fitted, and which of these options somebody asked for, by name; None in a version that was stored
    before that was kept.
    """

    asked: tuple[str, ...] | None = None

    def alike(self, other: HeadOptions) -> bool:
        """Whether heads fitted with either are the same, whoever asked for what."""
        return all(getattr(self, name) == getattr(other, name) for name in HeadOptions.model_fields)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a task. All of it is immutable but `active`, which was true or not when it was read.

    Attributes:
        number: from 1, growing with time.
        change: what made it.
        classes: in the order of the head's labels.
        options: how its head was fitted.
    """

    number: int
    active: bool
    change: Change
    backbone: BackboneRef
    classes: tuple[ClassCount, ...]
    options: FittedOptions
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """A task with its active version; the times are in UTC."""

    key: TaskKey
    name: str
    created_at: datetime
    updated_at: datetime
    version: Version

    @property
    def id(self) -> str:
        return self.key.id


@dataclass(frozen=True, slots=True)
class Active:
    """The number of a task's active version, the backbone that embeds its queries, and how many classes it has."""

    version: int
    backbone: BackboneRef
    ways: int


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """What a head is fitted on: n examples, in the order in which they were added.

    Attributes:
        ids, labels: n each.
        images_kept: n; whether each image can be had back.
        file_names: n; what each image's file was called, where that is known.
        embeddings: float32 (n, D), the caller's own to write to.
        backbone_sha256: the backbone file that made every one of them.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    images_kept: tuple[bool, ...]
    file_names: tuple[str | None, ...]
    embeddings: Float32
    backbone_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class PartlyEmbedded:
    """A support set as far as some backbone, be it the version's own or another, has embedded it.

    Attributes:
        ids, labels, images_kept, file_names: n each, in the order in which the examples were added.
        embeddings: by id, float32 (D,); of those examples that have one.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    images_kept: tuple[bool, ...]
    file_names: tuple[str | None, ...]
    embeddings: dict[str, Float32]

    @property
    def lacking(self) -> list[str]:
        """The ids of the others, in order."""
        return [id_ for id_ in self.ids if id_ not in self.embeddings]


@dataclass(frozen=True, slots=True)
class ExampleInfo:
    """An example without its image; `size` is the image's in bytes, `sha256` None where the image was not kept."""

    id: str
    label: str
    media_type: str
    size: int
    sha256: str | None
    created_at: datetime
    file_name: str | None


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """An example's id and its image, as it was sent."""

    id: str
    image: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under an idempotency key: what is kept of it in the transaction that does what it asks for.

    Attributes:
        fingerprint: sha256 of the parsed request, to tell a retry from another request under the same key.
        said: JSON; what the reply says beside what was made, such as the quality of a new version.
    """

    key: str
    fingerprint: str
    said: str = "{}"


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply as an earlier release kept it: its status, its `Location` header, if it had one, and its JSON."""

    status: int
    location: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a request under an idempotency key. A reply to a retry is rendered from what it made, which does not change.

    Attributes:
        asked: the request. Its fingerprint and what was said are empty once an image that the former is a hash of, or labels in
            the latter, have been forgotten.
        task, version: the id of the task and the number of the version that it made, if it made one.
        name: of that task at that time.
        refresh: the id of the refresh that it made, if it made one.
        reply: of an answer kept by an earlier release, which says nothing of the above.
    """

    asked: Asked
    task: str
    version: int | None
    name: str | None
    refresh: str | None
    reply: KeptReply | None

    @property
    def forgotten(self) -> bool:
        """Whether only the key is left."""
        return not self.asked.fingerprint
