"""The part of a project that the backend needs: which of its tags are image and choices, and what an annotation chose."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree


@dataclass(frozen=True, slots=True)
class Labelling:
    """The tags of a project's labelling interface that belong together.

    Attributes:
        choices: the name of the `Choices` tag.
        image: the name of the `Image` tag that it is about.
        field: the field of a task's data that holds the image's address.
        labels: the values that may be chosen; empty if the interface does not list them.
        several: whether an annotation may choose several.
    """

    choices: str
    image: str
    field: str
    labels: frozenset[str]
    several: bool

    def chosen(self, annotation: dict[str, Any]) -> tuple[str, ...]:
        """Returns the labels that an annotation chose; none if it was skipped."""
        if annotation.get("was_cancelled"):
            return ()
        for region in annotation.get("result") or ():
            if region.get("type") == "choices" and region.get("from_name") == self.choices:
                return tuple(region["value"]["choices"])
        return ()

    def result(self, labels: list[str], score: float) -> list[dict[str, Any]]:
        """Returns the regions of a prediction of these labels."""
        value = {"choices": labels}
        return [{"from_name": self.choices, "to_name": self.image, "type": "choices", "value": value, "score": score}]


def read_labelling(config: str) -> Labelling:
    """Returns the first choices about an image in a labelling interface, which Label Studio keeps as XML.

    Raises:
        ValueError: it is no XML, or has no choices about one image of a task.
    """
    try:
        root = ElementTree.fromstring(config)  # noqa: S314 -- expat bounds what entities become, and reads no other file
    except ElementTree.ParseError as error:
        raise ValueError(f"the labelling interface is no XML: {error}") from error
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    for tag in root.iter("Choices"):
        name, image = tag.get("name"), tag.get("toName")
        value = images.get(image, "")
        if name and image and value.startswith("$"):
            labels = (each.get("alias") or each.get("value") for each in tag.iter("Choice"))
            several = tag.get("choice") == "multiple"
            return Labelling(name, image, value[1:], frozenset(label for label in labels if label), several)
    raise ValueError("the labelling interface has no Choices tag whose toName is an Image tag with a value such as $image")
