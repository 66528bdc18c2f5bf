"""The label of an image, or its labels where it may have several, in all the forms that requests have."""

import msgspec
from msgspec import UNSET, UnsetType

from models.labels import Label, as_texts
from server.errors import InvalidRequest
from server.journeys.support_set import LabelledImage, clean_label, clean_labels
from server.store.records import LabelMode

_texts = msgspec.json.Decoder(list[str])


def label_in(label: str | UnsetType | None, labels: list[str] | UnsetType) -> Label | None:
    """Returns the label of a JSON body that has either field, cleaned.

    Raises:
        InvalidLabel, LimitExceeded: it cannot be one, or there are too many.
    """
    if not isinstance(labels, UnsetType):
        return clean_labels(labels)
    return None if label is None or label is UNSET else clean_label(label)


def label_of_text(text: str, mode: LabelMode) -> Label:
    """Returns the label in a text of a form: itself, or where an image may have several a list, JSON.

    Raises:
        InvalidRequest: it is no such list.
        InvalidLabel, LimitExceeded: it cannot be one, or there are too many.
    """
    if mode == "single":
        return clean_label(text)
    try:
        return clean_labels(_texts.decode(text))
    except msgspec.DecodeError:
        raise InvalidRequest(f'each text labels is a JSON list in this task, such as ["cat", "outdoors"], not {text!r}') from None


def by_image(found: list[LabelledImage]) -> list[LabelledImage]:
    """Returns each image once, with the labels of all the folders that it lies in. One without a label has none.

    Images are the same if their bytes are. The name of the first stays.
    """
    images: dict[bytes, list[LabelledImage]] = {}
    for each in found:
        images.setdefault(each.image, []).append(each)
    return [
        LabelledImage(clean_labels(as_texts([each.label for each in alike if each.label])), image, alike[0].name)
        for image, alike in images.items()
    ]
