"""The bundle's description: `manifest.json`, typed and validated.

Every class is frozen and refuses unknown fields, so a manifest of a later schema is refused instead of half understood.
"""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

BUNDLE_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
BundleName = Annotated[str, StringConstraints(pattern=BUNDLE_NAME)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Coefficient = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Solver = Literal["logistic", "ridge", "prototype"]
Interpolation = Literal["bilinear", "bicubic"]
RGB = tuple[float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Part):
    """The network behind the embeddings, with enough detail to build it again for training.

    `name` is `resnet12`, `conv4`, `torchvision:NAME` or `timm:NAME`; `onnx`, `torchscript` and `hf:FAMILY` were made elsewhere,
    and cannot be built again. A last layer that an export added (a recipe's `projection`) is not part of it. `widths` are the
    channels of our own networks' blocks. `mean` and `std` are the normalisation of each colour channel on the scale [0, 1]. The
    exported graph contains it (0 and 1 where an imported graph had its own).
    """

    name: str
    widths: tuple[int, ...]
    mean: RGB
    std: RGB


class InputSpec(_Part):
    """The input of the backbone, and how any image is fitted to it.

    `cover` scales the shorter side and crops the centre; `stretch` scales each side by itself, and crops nothing. Both are
    antialiased. `shortest_edge` is the length that `cover` scales the shorter side to; None is as short as the crop allows, and
    leaves an image of the right size untouched.
    """

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    resize: Literal["cover", "stretch"] = "cover"
    interpolation: Interpolation = "bicubic"
    colour: Literal["rgb"] = "rgb"
    shortest_edge: int | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.shortest_edge is not None and (self.resize == "stretch" or self.shortest_edge < max(self.height, self.width)):
            raise ValueError("shortest_edge belongs to the resize rule cover, and is as long as the input's sides or longer")
        return self

    @property
    def covered(self) -> tuple[int, int]:
        """Height and width that an image is scaled to cover; the centre of them is the input."""
        edge = self.shortest_edge
        return (edge, edge) if edge else (self.height, self.width)


class HeadOptions(_Part):
    """The way a head is fitted, and its scores turned into probabilities. See `models.heads.fitting`.

    `C` is the inverse strength of the L2 penalty (unused by `prototype`), `temperature` the T of softmax(scores / T),
    `centre` whether the bundle's feature mean is subtracted before normalising.
    """

    solver: Solver = "logistic"
    C: float = Field(gt=0.0, le=1e6, allow_inf_nan=False)
    temperature: float = Field(gt=0.0, le=1e3, allow_inf_nan=False)
    centre: bool


class TemperatureLaw(_Part):
    """A solver's temperature as a law of ways and shots alone: the coefficients of `models.heads.temperature.count_terms`.

    Bundles made before there were laws of the support set have these.
    """

    intercept: Coefficient
    log_ways: Coefficient
    inverse_ways: Coefficient
    log_shots: Coefficient
    inverse_shots: Coefficient


class SingleLaw(_Part):
    """The coefficients of `models.heads.temperature.single_terms`."""

    intercept: Coefficient
    log_ways: Coefficient
    inverse_ways: Coefficient
    between: Coefficient
    nearest: Coefficient
    nearest_log_ways: Coefficient


class SeveralLaw(_Part):
    """The coefficients of `models.heads.temperature.several_terms`."""

    intercept: Coefficient
    log_ways: Coefficient
    inverse_ways: Coefficient
    log_shots: Coefficient
    inverse_shots: Coefficient
    unequal: Coefficient
    log_likeliest: Coefficient
    recognised: Coefficient
    apart: Coefficient


class SupportLaw(_Part):
    """A solver's temperature as a law of the support set.

    `single` holds where every class has one example, `several` where every class has more. Between them the two are mixed in
    proportion to the classes that have more.
    """

    single: SingleLaw
    several: SeveralLaw


class TemperatureLaws(_Part):
    """A law per solver, fitted on validation-class episodes."""

    logistic: TemperatureLaw | SupportLaw
    ridge: TemperatureLaw | SupportLaw
    prototype: TemperatureLaw | SupportLaw

    def of(self, solver: Solver) -> TemperatureLaw | SupportLaw | None:
        """Returns the law of a solver; None for a solver that is younger than the bundle."""
        law: TemperatureLaw | SupportLaw | None = getattr(self, solver)
        return law


class NoveltyLaw(_Part):
    """The law by which strangers are detected, and by which a task's threshold follows from its examples.

    See `models.novelty.detector`. `centring`, `directions` and `shrinkage` make the space that images are compared in. `kappa`,
    `nearest` and `others` make the familiarity of an image in it. The rest makes the threshold. It is fitted on validation-class
    episodes of several datasets, so that one image in twenty of a task's own classes is refused.
    """

    centring: Share
    directions: int = Field(ge=1, le=1024)
    shrinkage: float = Field(gt=0.0, allow_inf_nan=False)
    kappa: float = Field(gt=0.0, le=500.0, allow_inf_nan=False)
    nearest: Share
    others: Share
    spread: NotNegative
    floor: NotNegative
    gain: NotNegative
    deviations: NotNegative
    prior: NotNegative


class HeadDefaults(_Part):
    """The options a head starts from, per solver, chosen on validation-class episodes at export.

    `temperatures` is absent from bundles made before there were such laws; their heads take the options' temperature. So is
    `novelty`; without it `models.novelty.detector` uses the rule from before there were laws.
    """

    solver: Solver = "logistic"
    logistic: HeadOptions
    ridge: HeadOptions
    prototype: HeadOptions
    temperatures: TemperatureLaws | None = None
    novelty: NoveltyLaw | None = None

    def options(self, solver: Solver | None = None) -> HeadOptions:
        """The defaults of `solver`, or of the default solver."""
        chosen: HeadOptions = getattr(self, solver or self.solver)
        return chosen


class Training(_Part):
    """The training run that made the weights. `initial` names the weights that it started from; None means random ones."""

    dataset: str
    classes: tuple[str, ...]
    split: str
    recipe: str
    seed: int
    epochs: int
    images: int
    hardware: str
    seconds: float
    git_revision: str | None
    initial: str | None = None


class Licence(_Part):
    """The licence of weights made elsewhere, as a card of Hugging Face's states it.

    Attributes:
        identifier: such as `apache-2.0`; `other` where none is defined for it.
        name, link: of a licence that has no identifier.
    """

    identifier: str
    name: str | None = None
    link: str | None = None


class Imported(_Part):
    """Weights made elsewhere, and all that is known of them.

    Attributes:
        source: `torchvision:NAME`, `timm:NAME`, `hf:NAME` of a folder, or the name of the imported file.
        weights: the name under which the weights are published, or of their file; or `random`.
        sha256: of the file that the weights came from, where one was given.
        images: how many images `statistics.safetensors` was made from.
        licence: None where it is unknown.
    """

    source: str
    weights: str
    sha256: Sha256 | None
    images: int
    licence: Licence | None = None

    @property
    def dataset(self) -> str:
        """The dataset of its training, as far as its weights' name tells."""
        return f"unknown ({self.weights})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its training: none are known."""
        return ()


class Evaluation(_Part):
    """Mean accuracy over episodes, as shares of one; `ci95` is the half-width 1.96 * s / sqrt(episodes)."""

    dataset: str
    part: Literal["validation", "test"]
    file: str
    solver: Solver
    ways: int = Field(ge=2)
    shots: int = Field(ge=1)
    queries: int
    episodes: int
    seed: int
    accuracy: Share
    ci95: float
    ece: Share


class TextTower(_Part):
    """The network that embeds text in the space of the image embeddings, where the bundle has one.

    It maps token numbers `input_ids`, int64 (N, `length`), to `embeddings`, float32 (N, D). It needs no mask: a shorter text is
    filled up by the tokenizer. A text and an image are compared by the cosine of their embeddings, and the scores of several
    texts are `scale` * cosine.

    Attributes:
        file: one of the bundle's files.
        tokenizer: one of the bundle's files, as the library `tokenizers` reads it. It adds the special tokens,
            cuts and fills up, and puts text in lower case where the network was trained so: its answer is one row of `input_ids`.
        length: L, the number of tokens of every text, special ones and padding included.
        template: the text for a class; `{}` stands once for the class's name.
        scale: the factor that the towers were trained with (about 100 for CLIP), not its logarithm.
    """

    file: Literal["text.onnx"]
    tokenizer: Literal["tokenizer.json"]
    length: int = Field(gt=0, le=4096)
    template: str = Field(pattern=r"^[^{}]*\{\}[^{}]*$", max_length=200)
    scale: float = Field(gt=0.0, allow_inf_nan=False)


class FileEntry(_Part):
    """Size in bytes and sha256 of one file of the bundle."""

    size: int = Field(ge=0)
    sha256: Sha256


class Manifest(_Part):
    """`manifest.json`. `files` names every other file of the bundle; `text` is None where no network of it reads text."""

    schema_version: Literal[1] = 1
    name: BundleName
    version: BundleName
    created_at: AwareDatetime
    architecture: Architecture
    embedding_dim: int = Field(gt=0)
    input: InputSpec
    head: HeadDefaults
    training: Training | Imported
    evaluations: tuple[Evaluation, ...]
    text: TextTower | None = None
    files: dict[str, FileEntry]

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"
