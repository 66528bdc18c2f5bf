"""Headstart's tasks in FiftyOne (https://github.com/voxel51/fiftyone): samples teach them, and get their answers.

from headstart import Client
from headstart_fiftyone import HeadstartModel, from_fiftyone, write_fields

with Client() as client:
    task = from_fiftyone(labelled, "ground_truth", client).task
    dataset.apply_model(HeadstartModel(client, task.id), label_field="headstart", batch_size=64)
    write_fields(dataset, client, task.id)
"""

from importlib.util import find_spec

if find_spec("fiftyone") is None:
    raise ModuleNotFoundError("fiftyone is not installed: pip install 'headstart-client[fiftyone]'", name="fiftyone")

from headstart_fiftyone.examples import Synced, from_fiftyone
from headstart_fiftyone.fields import write_fields
from headstart_fiftyone.model import HeadstartModel

__all__ = ["HeadstartModel", "Synced", "from_fiftyone", "write_fields"]
