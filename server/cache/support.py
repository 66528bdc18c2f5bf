"""Support sets in memory by task version, with an index for searching them."""

from collections.abc import Iterable
from dataclasses import dataclass

from models.heads.fitting import classes_of
from models.labels import Label, as_sets
from models.novelty.support_index import SupportIndex
from server.cache.versions import VersionCache
from server.engine.backbone import ServedBackbone
from server.store.records import TaskKey
from server.store.store import Store
from server.store.support_records import Support

_MAX_BYTES = 512 * 2**20
_EXAMPLE_BYTES = 192  # the mean memory of an id, a label and a file name


@dataclass(frozen=True, slots=True, eq=False)
class SearchableSupport:
    """The support set of a version, with its index.

    Attributes:
        index: None where a class has no example: strangers cannot be told by resemblance then.
        ids, labels, images_kept, file_names: as in `server.store.support_records.Support`, in the order of the index's
            examples. Those without a class are in the index alone.
    """

    index: SupportIndex | None
    ids: tuple[str, ...]
    labels: tuple[Label, ...]
    images_kept: tuple[bool, ...]
    file_names: tuple[str | None, ...]


class ActiveSupport:
    """Builds the index of a support set once and keeps it, within a bound on memory. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._support = VersionCache[SearchableSupport](_MAX_BYTES, _nbytes)

    def cached(self, key: TaskKey, version: int) -> SearchableSupport | None:
        """Returns the support set if it is in memory, else None."""
        return self._support.get(key, version)

    def load(self, key: TaskKey, version: int, ways: int, backbone: ServedBackbone) -> SearchableSupport:
        """Returns the support set. If it is not in memory, blocks while it is read and its index is built.

        That takes milliseconds for a hundred examples.

        Args:
            ways: the number of the version's classes.
            backbone: the backbone of the version.

        Raises:
            TaskNotFound, VersionNotFound: there is no such version.
            BackboneUnavailable: its embeddings are missing.
            StorageFailed: the store cannot be read.
        """
        return self._support.load(key, version, lambda: _searchable(self._store.examples.support(key, version), ways, backbone))

    def keep(self, key: TaskKey, version: int, support: Support, ways: int, backbone: ServedBackbone) -> None:
        """Builds the index of a given support set and keeps it, for the next query."""
        self._support.keep(key, version, _searchable(support, ways, backbone))

    def clear(self) -> None:
        """Drops all support sets."""
        self._support.clear()

    def drop(self, key: TaskKey, versions: Iterable[int]) -> None:
        """Drops the support sets of versions that have been removed."""
        self._support.drop(key, versions)


def _nbytes(support: SearchableSupport) -> int:
    return (support.index.nbytes if support.index else 0) + _EXAMPLE_BYTES * len(support.ids) + 1024


def _searchable(support: Support, ways: int, backbone: ServedBackbone) -> SearchableSupport:
    if as_sets(support.labels) is None and len(set(support.labels)) < ways:
        return SearchableSupport(None, support.ids, support.labels, support.images_kept, support.file_names)
    # Where an image may have several labels the index only finds neighbours, so that the first label is enough of a class.
    _, classes = classes_of([label[:1] if isinstance(label, tuple) else label for label in support.labels])
    index = SupportIndex.of(support.embeddings, classes, backbone.background, support.negatives.embeddings)
    return SearchableSupport(index, support.ids, support.labels, support.images_kept, support.file_names)
