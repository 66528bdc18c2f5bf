"""Temperature laws of a bundle without one domain, fitted on the validation classes of the others."""

import hashlib
from functools import cache
from pathlib import Path

import models
import training
from benchmarks.accuracy.domain_data import DOMAINS, Domain, Embedder
from models.manifest import SupportLaw
from training.calibration.temperatures import Answered, answers, fit_law

_MADE_BY = (
    "calibration/temperatures.py",
    "evaluation/harder_episodes.py",
    "evaluation/episodes.py",
    "evaluation/evaluate.py",
)


class LeftOutLaws:
    """Laws of the default solver.

    Each is kept where the embedder keeps its embeddings, and fitted anew when the bundle, the images or the code changes.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._answers: dict[str, list[Answered]] = {}

    def without(self, domain: Domain) -> SupportLaw:
        """Returns the law of all domains with validation classes but this one.

        Raises:
            DataError: the images cannot be used.
        """
        others = [d for d in DOMAINS if d.name != domain.name and d.read_split(self._embedder.data).classes("validation")]
        keep = self._embedder.keep
        file = keep and keep / f"law-{self._key(others)}.json"
        if file and file.exists():
            return SupportLaw.model_validate_json(file.read_text())
        law = fit_law([self._answered(other) for other in others])
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".tmp")
            temporary.write_text(law.model_dump_json())
            temporary.replace(file)
        return law

    def _answered(self, domain: Domain) -> list[Answered]:
        if domain.name not in self._answers:
            bundle = self._embedder.bundle
            embedded = self._embedder.embed(domain, "validation")
            self._answers[domain.name] = list(answers(embedded, bundle.feature_mean, bundle.manifest.head.options()))
        return self._answers[domain.name]

    def _key(self, others: list[Domain]) -> str:
        bundle = self._embedder.bundle
        parts = [bundle.manifest.head.options().model_dump_json(), bundle.feature_mean.tobytes().hex(), _code()]
        parts += [self._embedder.key(domain, "validation") for domain in others]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    files = [Path(training.__path__[0], name) for name in _MADE_BY] + sorted(Path(models.__path__[0]).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
