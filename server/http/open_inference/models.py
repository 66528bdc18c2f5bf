"""The models of this server: three by the names `{task}`, `{task}.pixels` and `{bundle}.embedding`.

A model goes by the id of its task. A task's name may be another's too, and may change; both would make a client ask another
classifier than the one that it was written for.
"""

from dataclasses import dataclass
from typing import Literal

from models.manifest import InputSpec
from server.errors import BackboneUnavailable, VersionNotFound
from server.http.callers import Caller
from server.http.open_inference.documents import ModelDocument, TensorSpec
from server.service import Service
from server.store.records import Version

Kind = Literal["task", "pixels", "embedding"]

_PIXELS, _EMBEDDING = ".pixels", ".embedding"
_MOST_DIGITS = 18

PROBABILITY, LABEL, KNOWN, NOVELTY, EMBEDDING = "PROBABILITY", "LABEL", "KNOWN", "NOVELTY", "EMBEDDING"
_BY_DEFAULT = {"task": PROBABILITY, "pixels": PROBABILITY, "embedding": EMBEDDING}
_OUTPUTS = {"task": (PROBABILITY, LABEL, KNOWN, NOVELTY), "pixels": (PROBABILITY,), "embedding": (EMBEDDING,)}


@dataclass(frozen=True, slots=True)
class ModelName:
    """The name of a model, taken apart.

    Attributes:
        id: of the task or of the bundle.
    """

    text: str
    kind: Kind
    id: str

    @property
    def input(self) -> TensorSpec:
        """The only input, where it does not depend on the model: pixels have the size of their backbone."""
        return TensorSpec("PIXELS", "UINT8", ()) if self.kind == "pixels" else _IMAGE

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return _OUTPUTS[self.kind]

    @property
    def default_output(self) -> str:
        """The output of a request that names none: one that every client can read."""
        return _BY_DEFAULT[self.kind]

    @property
    def path(self) -> str:
        """The path of the task or of the bundle below `/v1/`."""
        return f"{'backbones' if self.kind == 'embedding' else 'tasks'}/{self.id}"

    def check(self, caller: Caller) -> None:
        """Raises TaskNotFound or Forbidden if the caller's key is for another task."""
        if self.kind == "embedding":
            caller.check_unbound()
        else:
            caller.check_task(self.id)


_IMAGE = TensorSpec("IMAGE", "BYTES", (1,), "FORMAT_NONE")


def model_name(text: str) -> ModelName:
    """Returns a name taken apart, be there such a model or not."""
    if text.endswith(_EMBEDDING):
        return ModelName(text, "embedding", text.removesuffix(_EMBEDDING))
    if text.endswith(_PIXELS):
        return ModelName(text, "pixels", text.removesuffix(_PIXELS))
    return ModelName(text, "task", text)


def names_of_task(task: str) -> tuple[str, str]:
    """Returns the names of a task's models."""
    return task, task + _PIXELS


def name_of_embedding(bundle: str) -> str:
    """Returns the name of a bundle's model."""
    return bundle + _EMBEDDING


def version_of_bundle(bundle: str) -> str:
    """Returns the only version of a bundle's model: 2 of `name@2`."""
    return bundle.rpartition("@")[2]


def is_natural(text: str) -> bool:
    """Returns whether a text is a natural number, of so few digits that it costs nothing to read."""
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def version_number(version: str) -> int | None:
    """Returns the number of a task's version; None for the active one, which an empty text is.

    Raises:
        VersionNotFound: no version is called so.
    """
    if not version:
        return None
    if not is_natural(version) or version.startswith("0"):
        raise VersionNotFound(version)
    return int(version)


async def find_model(service: Service, caller: Caller, text: str, version: str) -> ModelDocument:
    """Returns what there is to tell of a model.

    Args:
        version: empty for the one that answers if none is named.

    Raises:
        TaskNotFound, BackboneNotFound, VersionNotFound: there is no such model, or no such version.
        BackboneNotOpen: its bundle is not open.
        BackboneUnavailable: it takes pixels of the size of a bundle that is not here.
        Forbidden: the caller's key is for another task.
        StorageFailed: the store cannot be read.
    """
    name = model_name(text)
    name.check(caller)
    if name.kind == "embedding":
        return await _of_bundle(service, name, version)
    number, key = version_number(version), caller.task_key(name.id)
    task = await service.pools.in_thread(service.store.tasks.get, key)
    found = await service.pools.in_thread(service.store.tasks.versions, key)
    chosen = next((each for each in found if (each.active if number is None else each.number == number)), None)
    if chosen is None:
        raise VersionNotFound(version)
    manifest = (await service.backbones.servable()).get(chosen.backbone)
    if name.kind == "pixels" and manifest is None:
        raise BackboneUnavailable(f"this task was made with backbone {chosen.backbone.bundle}, which this server does not have")
    return ModelDocument(
        text,
        str(chosen.number),
        [str(each.number) for each in reversed(found)],
        task.name,
        [_pixels(manifest.input) if name.kind == "pixels" and manifest else name.input],
        [each for each in _outputs(chosen) if each.name in name.outputs],
        [each.label for each in chosen.classes],
        servable=manifest is not None,
    )


async def _of_bundle(service: Service, name: ModelName, version: str) -> ModelDocument:
    async with service.backbones.use_open(name.id) as backbone:
        dim = backbone.bundle.manifest.embedding_dim
    only = version_of_bundle(name.id)
    if version not in {"", only}:
        raise VersionNotFound(version)
    return ModelDocument(name.text, only, [only], name.id, [name.input], [TensorSpec(EMBEDDING, "FP32", (dim,))])


def _pixels(spec: InputSpec) -> TensorSpec:
    return TensorSpec("PIXELS", "UINT8", (spec.height, spec.width, 3), "FORMAT_NHWC")


def _outputs(version: Version) -> list[TensorSpec]:
    return [
        TensorSpec(PROBABILITY, "FP32", (len(version.classes),)),
        TensorSpec(LABEL, "BYTES", (1,)),
        TensorSpec(KNOWN, "BOOL", (1,)),
        TensorSpec(NOVELTY, "FP32", (1,)),
    ]
