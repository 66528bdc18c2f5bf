"""The records that the store takes and returns."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from models.heads.head import BackboneRef, Float32
from models.labels import Label
from models.manifest import HeadOptions

Keep = Literal["none", "uncertain", "all"]
LabelMode = Literal["single", "multiple"]
"""Whether an image of a task has one label, or any number of them."""
Change = Literal["created", "added", "removed", "relabelled", "refreshed"]
EventType = Literal["version_created", "version_activated", "quality_fell", "captures_waiting", "task_deleted"]


class VersionConflict(Exception):
    """The active version is no longer the one that the new version was fitted from: read the support set and fit again."""


class ReplayExists(Exception):
    """Another request with the same idempotency key was answered meanwhile: read that answer with `Store.replay`."""


class TaskKey(NamedTuple):
    """A task's tenant and id. Whoever looks for a task, or for a part of it, names both."""

    tenant: str
    id: str


@dataclass(frozen=True, slots=True)
class ImageObject:
    """An image that lies in the object store: the path of its object, and the 32 bytes that it is encrypted with."""

    path: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class NewExample:
    """A labelled image about to be stored.

    Attributes:
        label: None if it is of none of the classes; the tuple of its labels, perhaps empty, where an image may have several.
        image: the bytes as they were sent: `size` bytes of type `media_type` with the hash `sha256` (hexadecimal). Or where they
            lie, if they have been put into the object store; None if that is known already, from an example of the same image.
            If images are not kept, it and `sha256` are None: the hash would tell whether a given image is the one.
        embedding: float32 (D,), made by the backbone of the head that comes with it.
        file_name: the name of the image's file, if its sender gave it and images are kept.
    """

    id: str
    label: Label | None
    image: bytes | ImageObject | None
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


class Accuracy(NamedTuple):
    """A share of examples that were recognised when they were left out, and the ends of its interval at 95 %."""

    share: float
    low: float
    high: float


class FittedOptions(HeadOptions):
    """The options that a version's head was fitted with.

    Attributes:
        asked: the names of the options that somebody asked for; None in versions of releases that did not keep them.
        named: classes that were given by their names, which stay while they have no image.
        name_weight: of the class names beside the images (`models.heads.class_names`); None where they play no part.
        for_images: the options as they were asked for, where the names alone answer and other ones fit them; else None.
    """

    asked: tuple[str, ...] | None = None
    named: tuple[str, ...] = ()
    name_weight: float | None = None
    for_images: HeadOptions | None = None

    def alike(self, other: HeadOptions) -> bool:
        """Returns whether both options fit the same head. It does not matter who asked for which of them."""
        return all(getattr(self, name) == getattr(other, name) for name in HeadOptions.model_fields)

    def asked_for(self) -> dict[str, Any]:
        """Returns the options that somebody asked for, also those that wait for images; none if that was not kept."""
        return {name: getattr(self.for_images or self, name) for name in self.asked or ()}

    def stored(self) -> dict[str, Any]:
        """Returns them as a version keeps them.

        What class names add is left out where they play no part: servers of the release before refuse fields that they do
        not know.
        """
        of_names = {"named", "name_weight", "for_images"}
        default = FittedOptions.model_fields
        return self.model_dump(exclude={name for name in of_names if getattr(self, name) == default[name].default})


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a task. Nothing of it ever changes but `active`, which holds for the time of reading.

    Attributes:
        number: from 1, growing with time.
        change: the kind of change that made it.
        classes: in the order of the head's labels.
        negatives: the number of examples without a class, or without any label.
        options: the options that its head was fitted with.
        accuracy: as it was measured when the version was made; None if that was not done, or no example could be judged.
    """

    number: int
    active: bool
    change: Change
    backbone: BackboneRef
    classes: tuple[ClassCount, ...]
    negatives: int
    options: FittedOptions
    created_at: datetime
    accuracy: Accuracy | None

    @property
    def lacks_images(self) -> bool:
        """True where a class has no example, so that the class names alone answer."""
        return not all(entry.examples for entry in self.classes)


@dataclass(frozen=True, slots=True)
class CaptureSetting:
    """The predictions of a task that are captured, and how many captures it may have.

    Attributes:
        keep: none, those that the head was uncertain of, or all.
        limit: the most captures; the oldest leaves first.
        days: the age at which a capture leaves.
        notify: the number of captures at which an event tells that they wait; None for never.
    """

    keep: Keep = "none"
    limit: int = 1000
    days: int = 30
    notify: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task with its active version; the times are in UTC."""

    key: TaskKey
    name: str
    created_at: datetime
    updated_at: datetime
    version: Version
    capture: CaptureSetting = CaptureSetting()
    labels: LabelMode = "single"

    @property
    def id(self) -> str:
        return self.key.id


@dataclass(frozen=True, slots=True)
class Active:
    """A task's active version, and the settings that its predictions need.

    Attributes:
        version: its number.
        backbone: the one that embeds its queries.
        ways: the number of its classes.
        capture: which predictions are captured.
        labels: how many an image may have.
        forgettings: how often something of the task was forgotten.
    """

    version: int
    backbone: BackboneRef
    ways: int
    capture: CaptureSetting = CaptureSetting()
    labels: LabelMode = "single"
    forgettings: int = 0


@dataclass(frozen=True, slots=True)
class ExampleInfo:
    """An example without its image. `size` is that of the image in bytes; `sha256` is None if the image was not kept.

    `label` is as in `NewExample`.
    """

    id: str
    label: Label | None
    media_type: str
    size: int
    sha256: str | None
    created_at: datetime
    file_name: str | None


@dataclass(frozen=True, slots=True)
class ExampleImage:
    """An example's id, and its image as it was sent."""

    id: str
    image: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """The record of a request under an idempotency key. The transaction that fulfils the request stores it.

    Attributes:
        fingerprint: sha256 of the parsed request. It tells a retry from another request under the same key.
        said: JSON; the parts of the reply that do not follow from what was made, such as the quality of a new version.
    """

    key: str
    fingerprint: str
    said: str = "{}"


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply as an earlier release kept it: its status, its `Location` header if it had one, and its JSON."""

    status: int
    location: str | None
    body: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of a request under an idempotency key.

    The reply to a retry is rendered again from what the request made, which does not change.

    Attributes:
        asked: the request. Its `fingerprint` is a hash over images and its `said` may hold labels. So both are empty once the
            task or one of its examples has been forgotten.
        task, version: the id of the task and the number of the version that it made, if it made one.
        name: the name of that task at that time.
        refresh: the id of the refresh that it made, if it made one.
        reply: the whole reply, if an earlier release kept it; such a record has none of the above.
    """

    asked: Asked
    task: str
    version: int | None
    name: str | None
    refresh: str | None
    reply: KeptReply | None

    @property
    def forgotten(self) -> bool:
        """True if only the key is left."""
        return not self.asked.fingerprint
