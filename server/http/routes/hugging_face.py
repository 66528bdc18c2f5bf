"""`/v1/tasks/{task}/hf`: predictions for clients of Hugging Face's inference, such as `huggingface_hub.InferenceClient`."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.http.audited import audited
from server.http.bodies.images import read_pipeline_input
from server.http.callers import Calling, needs
from server.http.dependencies import Served, while_connected
from server.http.openapi import PIPELINE_BODY, answered
from server.http.problems import documented
from server.http.routes.predictions import PREDICTION_ERRORS
from server.journeys.active_task import find_task
from server.journeys.predict import encode, predict
from server.schemas.dialects import PipelineReply

router = APIRouter(prefix="/v1", tags=["clients of other services"])


@router.post(
    "/tasks/{task}/hf",
    dependencies=needs("predict") + audited("task.predict", "use"),
    summary="Recognise an image, as Hugging Face's image-classification",
    responses={
        200: answered(PipelineReply, "Labels with their probabilities, the most probable first"),
        **documented(*PREDICTION_ERRORS),
    },
    openapi_extra=PIPELINE_BODY,
)
async def classify(task: str, request: Request, caller: Calling, service: Served) -> Response:
    """`huggingface_hub.InferenceClient(model=URL).image_classification(image)` works with this address as its `model`.

    The probabilities are those of `…/predict`. A body that is not JSON is the image, whatever its type says.
    """
    active = await find_task(service, caller.task_key(task))
    image, top_k = await read_pipeline_input(request, service)
    answer = await while_connected(request, predict(service, active, [image], top_k))
    scores = answer["predictions"][0]["scores"]
    return Response(encode([{"label": label, "score": score} for label, score in scores.items()]), media_type="application/json")
