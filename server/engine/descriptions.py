"""Descriptions of bundles: whether each is there, the engines that run it, and the tasks that need it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from models.engine import EngineKind
from models.heads.head import BackboneRef
from models.manifest import Manifest
from server.engine.backbone import ServedBackbone


@dataclass(frozen=True, slots=True)
class Description:
    """A bundle that is in the folders, open, or needed.

    Attributes:
        manifest: None if the bundle is needed but no manifest of it can be read.
        engines: the engines that it is open on; empty if it is not open.
        default: whether new tasks get it.
        active_tasks: the number of tasks whose active version uses it.
        unserved_tasks: the number of those tasks that use a file of it that is not here or could not be opened.
    """

    id: str
    manifest: Manifest | None
    engines: list[EngineKind]
    default: bool
    active_tasks: int
    unserved_tasks: int

    @property
    def unserved(self) -> bool:
        """True if some of its tasks, or new tasks, cannot be served."""
        return self.unserved_tasks > 0 or (self.default and not self.engines)


def descriptions(
    found: Mapping[str, Manifest],
    used: Mapping[BackboneRef, int],
    served: Iterable[ServedBackbone],
    failed: Collection[BackboneRef],
    default_id: str,
) -> dict[str, Description]:
    """Returns the description of each bundle by id.

    Args:
        found: the manifests in the folders, by id.
        used: the number of tasks whose active version uses each backbone.
        served: the backbones that are open.
        failed: the backbones that could not be opened for their tasks.
        default_id: the id of the bundle that new tasks get.
    """
    open_now = list(served)
    known = {**found, **{each.bundle.id: each.bundle.manifest for each in open_now}}
    here = {BackboneRef(id_, file.sha256) for id_, manifest in known.items() for file in manifest.files.values()}
    served_now = {each.space.backbone for each in open_now}

    def describe(id_: str) -> Description:
        using = {backbone: count for backbone, count in used.items() if backbone.bundle == id_}
        return Description(
            id=id_,
            manifest=known.get(id_),
            engines=[each.kind for each in open_now if each.bundle.id == id_],
            default=id_ == default_id,
            active_tasks=sum(using.values()),
            unserved_tasks=sum(
                count for each, count in using.items() if each not in served_now and (each not in here or each in failed)
            ),
        )

    return {id_: describe(id_) for id_ in sorted({*known, *(backbone.bundle for backbone in used), default_id})}
