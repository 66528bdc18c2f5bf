"""The accuracy that a task would have with more examples, as far as its own examples and the backbone's evaluations tell."""

from models.heads.forecast import CurvePrior, Evaluated, forecast
from models.heads.head import Float32
from models.heads.learning_curve import Point, learning_curve
from models.heads.leave_one_out import MAX_LEFT_OUT
from models.manifest import HeadOptions
from server.engine.backbone import ServedBackbone
from server.journeys.evaluations import accuracies
from server.journeys.tally import Verdict
from server.schemas.quality import ForecastReply


def forecast_accuracy(
    verdict: Verdict, embeddings: Float32, options: HeadOptions, backbone: ServedBackbone, *, of_verdict: bool = False
) -> list[ForecastReply]:
    """Returns the forecast of a head fitted with these options; above 500 examples from its leave-one-out alone.

    Args:
        verdict: of the n examples.
        embeddings: (n, D), made by the backbone.
        of_verdict: whether it is to be from the leave-one-out alone, since class names are part of the head.

    Returns:
        An empty list where no example can be judged and the backbone was not evaluated.
    """
    left_out, labels = verdict.left_out, verdict.labels
    evaluated = accuracies(backbone, options.solver) or accuracies(backbone, backbone.bundle.manifest.head.solver)
    if not evaluated and not left_out.judged.any():
        return []
    if of_verdict or len(labels) > MAX_LEFT_OUT:
        points = [Point.of(left_out, labels)]
    else:
        points = learning_curve(backbone.space.features(embeddings, options.centre), labels, options, left_out.groups)
    prior = CurvePrior.of(Evaluated(*setting, accuracy) for setting, accuracy in evaluated.items())
    found = forecast(points, left_out.groups_of_classes(labels), prior)
    return [ForecastReply(factor=each.factor, accuracy=each.accuracy, interval=each.interval) for each in found]
