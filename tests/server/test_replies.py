"""Replies that are written from data are what the document says of them, to the letter: the same fields, in the same order."""

import httpx
import pytest

from server.schemas.predictions import PredictManyReply, PredictReply
from tests.helpers.samples import Labelled
from tests.helpers.uploads import create, queries


@pytest.fixture
def task(api: httpx.Client, support: Labelled) -> str:
    return str(create(api, support)["id"])


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "?unknown=ignore",
        "?top_k=2",
        "?mode=transductive",
        "?remember=true",
        "?remember=true&unknown=ignore",
        "?coverage=0.9",
        "?coverage=0.9&remember=true",
    ],
)
def test_a_prediction_is_a_predict_reply(api: httpx.Client, task: str, support: Labelled, asked: str) -> None:
    response = api.post(f"/v1/tasks/{task}/predict{asked}", **queries([support[0][1], b"no image", support[9][1]]))
    assert len(response.json()["predictions"]) == 3
    assert PredictReply.model_validate_json(response.content, strict=True).model_dump_json(exclude_unset=True) == response.text


@pytest.mark.parametrize("asked", ["", "&unknown=judge", "&top_k=3"])
def test_predictions_of_many_tasks_are_a_predict_many_reply(api: httpx.Client, task: str, support: Labelled, asked: str) -> None:
    path = f"/v1/predict?tasks={task},{task}{asked}"
    response = api.post(path, **queries([support[0][1], b"no image", support[9][1]]))
    assert [len(result["predictions"]) for result in response.json()["results"]] == [3, 3]
    assert (
        PredictManyReply.model_validate_json(response.content, strict=True).model_dump_json(exclude_unset=True) == response.text
    )
