"""The quality of a task: response bodies."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from server.schemas.base import EXAMPLE_ID, TASK_ID, FileName, LabelList, Reply

Interval = Annotated[
    tuple[float, float] | None,
    Field(description="95 % interval of the accuracy on further images of these kinds; null without an accuracy"),
]


class ClassQuality(Reply):
    label: str
    examples: int
    groups: int = Field(description="how many they are, if near-duplicates and shots of one thing count as one")
    judged: int = Field(description="how many of them a head fitted without their groups could judge")
    recognised: int = Field(description="how many of those it recognised")
    accuracy: float | None = Field(description="that share, each group counting as one; null if none was judged")
    interval: Interval
    false_positive_rate: float | None = Field(
        None, description="where an image may have several labels: the share of the other examples that got this one"
    )


class Confusion(Reply):
    """Examples of one class that were taken for another."""

    label: str
    recognised_as: str
    examples: int


class Prior(Reply):
    """The bundle's evaluations at the way and shot nearest to the task's: on other classes, not on this task."""

    accuracy: float = Field(description="mean over the datasets")
    lowest: float = Field(description="of the dataset that was hardest")
    highest: float = Field(description="of the one that was easiest")
    ways: int
    shots: int
    datasets: list[str]


class ForecastReply(Reply):
    """The accuracy to expect with more examples of each class, on further images of these kinds."""

    factor: int = Field(description="how many times the examples of each class")
    accuracy: float = Field(description="as likely too low as too high")
    interval: tuple[float, float] = Field(description="80 % interval of the accuracy")


class SuspectReply(Reply):
    """An example that the others contradict."""

    example: str
    label: str | None = Field(description="null where an image may have several")
    labels: LabelList = None
    suggested: str | None = Field(description="the label that it seems to belong to; null where an image may have several")
    suggested_labels: list[str] | None = Field(None, description="the labels that it seems to have, where it may have several")
    confidence: float = Field(description="probability of the suggested label, or of the clearest of several changes")
    file_name: FileName


class DuplicateReply(Reply):
    """An example that is all but an earlier one; under another label one of the two is wrong."""

    example: str
    label: str | None = Field(description="null where an image may have several")
    labels: LabelList = None
    of: str = Field(description="the earlier example")
    of_label: str | None
    of_labels: LabelList = None
    similarity: float = Field(description="cosine of their embeddings; 1 for the same pixels")
    file_name: FileName
    of_file_name: FileName


class ReliabilityBin(Reply):
    """The left-out examples whose label got a probability in one range."""

    lowest: float
    highest: float = Field(description="it belongs to the next range; 1 to the last")
    examples: int
    probability: float = Field(description="of the labels that they got, in the mean, each group counting as one")
    accuracy: float = Field(description="share of them that got the right one, each group counting as one")


class Quality(Reply):
    """The quality of a task, as far as its support set alone can tell.

    Each example is judged by a head fitted without it, and without examples that look like other shots of the same thing.
    """

    method: str = Field(description="`leave-one-out`, which is exact, or above 500 examples `20 folds`")
    judged: int = Field(description="examples that could be judged: all but those of classes with one group")
    groups: int = Field(description="how many examples there are, if near-duplicates and shots of one thing count as one")
    accuracy: float | None = Field(
        description="share of the judged examples that were recognised, each group counting as one; null if there are none. "
        "Where an image may have several labels: the mean over the images of the labels that it has and got, among those that "
        "it has or got"
    )
    interval: Interval
    classes: list[ClassQuality]
    one_session: list[str] = Field(
        description="classes whose examples look like one session, so that none tells how images from elsewhere are recognised"
    )
    confusions: list[Confusion] = Field(
        description="which classes are taken for which, the most frequent first; empty where an image may have several labels"
    )
    prior: Prior | None = Field(description="where not every example could be judged: what the bundle's evaluations found")
    advice: str = Field(description="which class gains most from more images")
    forecast: list[ForecastReply] = Field(  # Empty by default: replies that an earlier release keeps for retries lack it.
        default=[],
        description="with twice and five times the examples; empty where none is judged and the backbone was not evaluated",
    )
    suspects: list[SuspectReply] = Field(description="examples whose label the others contradict, the clearest first")
    duplicates: list[DuplicateReply]
    reliability: list[ReliabilityBin] = Field(  # Empty by default for the same reason.
        default=[],
        description="the judged examples by the probability of the label that they got: whether probabilities mean what they say",
    )

    EXAMPLE: ClassVar[Any] = {
        "method": "leave-one-out",
        "judged": 10,
        "accuracy": 0.8,
        "interval": [0.49, 0.943],
        "classes": [
            {"label": "cat", "examples": 5, "judged": 5, "recognised": 3, "accuracy": 0.6, "interval": [0.231, 0.882]},
            {"label": "dog", "examples": 5, "judged": 5, "recognised": 5, "accuracy": 1.0, "interval": [0.566, 1.0]},
        ],
        "confusions": [{"label": "cat", "recognised_as": "dog", "examples": 2}],
        "prior": None,
        "advice": "More images of 'cat' would help most: left out, its 5 got 47% on average; 2 were taken for another class, and "
        "0 of others for it.",
        "forecast": [
            {"factor": 2, "accuracy": 0.921, "interval": [0.81, 0.971]},
            {"factor": 5, "accuracy": 0.939, "interval": [0.838, 0.981]},
        ],
        "suspects": [{"example": EXAMPLE_ID, "label": "cat", "suggested": "dog", "confidence": 0.91, "file_name": "cat3.jpg"}],
        "duplicates": [],
        "reliability": [
            {"lowest": 0.6, "highest": 0.8, "examples": 4, "probability": 0.71, "accuracy": 0.75},
            {"lowest": 0.8, "highest": 1.0, "examples": 6, "probability": 0.88, "accuracy": 0.833},
        ],
    }


class QualityReply(Quality):
    """The quality of a task's active version."""

    task: str
    version: int

    EXAMPLE: ClassVar[Any] = {"task": TASK_ID, "version": 1, **Quality.EXAMPLE}
