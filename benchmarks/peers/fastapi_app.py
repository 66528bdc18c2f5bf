"""The usual handler: a plain function that FastAPI runs in its thread pool, and a worker process per core."""

from typing import Annotated, Any

from fastapi import Body, FastAPI

from benchmarks.peers.classifier import Classifier

app = FastAPI()
classifier = Classifier(threads=1)


@app.post("/predict")
def predict(image: Annotated[bytes, Body(media_type="image/png")]) -> dict[str, Any]:
    return classifier.predict([classifier.decode(image)])[0]
