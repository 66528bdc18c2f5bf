"""The rules of prediction sets in memory, by task version."""

from collections.abc import Iterable

from models.heads.head import Head
from models.heads.prediction_sets import UNJUDGED, SetRule, set_rule
from models.labels import as_texts
from server.cache.versions import VersionCache
from server.engine.backbone import ServedBackbone
from server.store.records import TaskKey
from server.store.store import Store

_MAX_BYTES = 16 * 2**20
_RULE_BYTES = 512


class ActiveSetRules:
    """Makes the rule of a version once and keeps it, within a bound on memory. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules = VersionCache[SetRule](_MAX_BYTES, lambda rule: rule.nbytes + _RULE_BYTES)

    def cached(self, key: TaskKey, version: int) -> SetRule | None:
        """Returns the rule if it is in memory, else None."""
        return self._rules.get(key, version)

    def load(self, key: TaskKey, version: int, head: Head, backbone: ServedBackbone) -> SetRule:
        """Returns the rule. If it is not in memory, blocks while the version's examples are read and left out.

        Args:
            head: of the version.
            backbone: of the version.

        Raises:
            TaskNotFound, VersionNotFound: there is no such version.
            BackboneUnavailable: its embeddings are missing.
            EngineFailed: its class names cannot be embedded.
            StorageFailed: the store cannot be read.
        """

        def make() -> SetRule:
            made = self._store.tasks.made(key, version).version
            if made.lacks_images:
                return UNJUDGED
            support = self._store.examples.support(key, version)
            groups = backbone.groups(support.labels, support.embeddings)
            names = backbone.names_at(made.options.name_weight, head.labels)
            return set_rule(head, support.embeddings, as_texts(support.labels), backbone.space, groups, names)

        return self._rules.load(key, version, make)

    def clear(self) -> None:
        """Drops all rules."""
        self._rules.clear()

    def drop(self, key: TaskKey, versions: Iterable[int]) -> None:
        """Drops the rules of versions that have been removed."""
        self._rules.drop(key, versions)
