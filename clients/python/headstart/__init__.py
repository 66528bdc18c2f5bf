"""Headstart's Python client: a few labelled images in, a working classifier out.

from headstart import Client

with Client() as client:
    task = client.create_task("birds", "photos/birds")
    for result in client.predict(task.id, ["new/1.jpg", "new/2.jpg"]):
        print(result)
"""

from headstart.client import AsyncClient, Client
from headstart.errors import (
    ApiError,
    BackboneInUse,
    BackboneNotFound,
    BackboneNotOpen,
    BackboneUnavailable,
    CaptureNotFound,
    Conflict,
    ExampleNotFound,
    Forbidden,
    HeadstartError,
    ImageNotKept,
    InvalidBundle,
    InvalidImage,
    InvalidInput,
    NoImages,
    NotFound,
    Overloaded,
    ProxyError,
    QuotaExceeded,
    RefreshNotFound,
    RequestTooLarge,
    ServerUnreachable,
    StoredQuotaExceeded,
    TaskNotFound,
    Unauthenticated,
    Unavailable,
    UnexpectedReply,
    UnreadableImages,
    VersionNotFound,
    WrongRefreshState,
)
from headstart.images.examples import Examples, LabelledImage
from headstart.images.folders import image_files, labelled_folder
from headstart.images.kinds import Image
from headstart.limits import Quota
from headstart.options import Candidate, HeadOptions
from headstart.replies.backbones import Backbone
from headstart.replies.captures import Answered, Capture, CapturePage
from headstart.replies.comparison import Comparison, Difference, Trial, Untried
from headstart.replies.events import Event, EventPage
from headstart.replies.keys import Key
from headstart.replies.predictions import Coverage, ManyPredictions, Neighbour, Prediction, Predictions, Unreadable, UnusableTask
from headstart.replies.quality import ClassQuality, Confusion, Duplicate, Forecast, Prior, Quality, ReliabilityBin, Suspect
from headstart.replies.refreshes import Accuracy, Reason, Refresh, RefreshedTask
from headstart.replies.tasks import CaptureSetting, ClassSize, Example, Head, Task, Version
from headstart.version import VERSION as __version__

__all__ = [
    "Accuracy",
    "Answered",
    "ApiError",
    "AsyncClient",
    "Backbone",
    "BackboneInUse",
    "BackboneNotFound",
    "BackboneNotOpen",
    "BackboneUnavailable",
    "Candidate",
    "Capture",
    "CaptureNotFound",
    "CapturePage",
    "CaptureSetting",
    "ClassQuality",
    "ClassSize",
    "Client",
    "Comparison",
    "Conflict",
    "Confusion",
    "Coverage",
    "Difference",
    "Duplicate",
    "Event",
    "EventPage",
    "Example",
    "ExampleNotFound",
    "Examples",
    "Forbidden",
    "Forecast",
    "Head",
    "HeadOptions",
    "HeadstartError",
    "Image",
    "ImageNotKept",
    "InvalidBundle",
    "InvalidImage",
    "InvalidInput",
    "Key",
    "LabelledImage",
    "ManyPredictions",
    "Neighbour",
    "NoImages",
    "NotFound",
    "Overloaded",
    "Prediction",
    "Predictions",
    "Prior",
    "ProxyError",
    "Quality",
    "Quota",
    "QuotaExceeded",
    "Reason",
    "Refresh",
    "RefreshNotFound",
    "RefreshedTask",
    "ReliabilityBin",
    "RequestTooLarge",
    "ServerUnreachable",
    "StoredQuotaExceeded",
    "Suspect",
    "Task",
    "TaskNotFound",
    "Trial",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedReply",
    "Unreadable",
    "UnreadableImages",
    "Untried",
    "UnusableTask",
    "Version",
    "VersionNotFound",
    "WrongRefreshState",
    "__version__",
    "image_files",
    "labelled_folder",
]
