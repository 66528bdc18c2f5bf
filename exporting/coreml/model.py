"""A task's version as a Core ML package: image in; label, probabilities, known and novelty out."""

import contextlib
import io
import warnings
from pathlib import Path

import coremltools
import torch

from exporting.coreml.network import Network
from exporting.errors import ExportError
from exporting.golden import golden_of
from exporting.model import Found, metadata, to_answers
from exporting.names import COREML_SUFFIX, IMAGE, KNOWN, LABEL, NOVELTY, PROBABILITIES
from exporting.whole import written_whole

_TARGET = coremltools.target.iOS16
# These move factors. Some numbers would then be rounded to other ones of eight bits than the server's.
_LEFT_OUT = {"common::divide_to_multiply", "common::fuse_conv_scale"}


def write_package(found: Found, path: Path) -> None:
    """Writes the package. Its image has the size that the backbone takes, in RGB.

    Args:
        path: a new one, which ends in `.mlpackage`.

    Raises:
        ExportError: the backbone has an operator that is not written for Core ML, or does not run here; or the path ends
            otherwise.
        OSError: it exists, or cannot be written. No part of it is left then.
    """
    if path.suffix != COREML_SUFFIX:
        raise ExportError(f"the name of a Core ML package ends in {COREML_SUFFIX}")
    spec, classifier, quiet = found.bundle.manifest.input, found.classifier, contextlib.redirect_stderr(io.StringIO())
    with written_whole(path) as whole, warnings.catch_warnings(), quiet, torch.no_grad():
        warnings.simplefilter("ignore")  # what becomes constant in the trace is constant in the model; and progress is not told
        golden = golden_of(classifier, found.bundle, found.file, found.background, spec)
        network = Network(to_answers(found)).eval()
        script = torch.jit.trace(network, torch.zeros(1, 3, spec.height, spec.width), check_trace=False)  # type: ignore[no-untyped-call]
        model = _converted(script, (1, 3, spec.height, spec.width), list(classifier.head.labels))
        model.user_defined_metadata.update(metadata(found, golden))
        model.short_description = f"{classifier.name}, version {classifier.version}"
        model.save(str(whole))


def _converted(script: torch.jit.ScriptModule, shape: tuple[int, ...], labels: list[str]) -> coremltools.models.MLModel:
    """Returns the model of TorchScript. A classifier's other outputs keep their names only if they are given in a step before."""
    passes = coremltools.PassPipeline.DEFAULT
    assert _LEFT_OUT.issubset(passes.passes)  # An unknown name would be passed over in silence.
    passes.remove_passes(_LEFT_OUT)
    image = coremltools.ImageType(name=IMAGE, shape=shape, color_layout=coremltools.colorlayout.RGB)
    program = coremltools.convert(
        script,
        inputs=[image],
        outputs=[coremltools.TensorType(name=name) for name in (PROBABILITIES, KNOWN, NOVELTY)],
        convert_to="milinternal",
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target=_TARGET,
        pass_pipeline=passes,
    )
    program.functions["main"].output_types = None  # they are for a model without labels
    return coremltools.convert(
        program,
        convert_to="mlprogram",
        classifier_config=coremltools.ClassifierConfig(labels, LABEL, PROBABILITIES),
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target=_TARGET,
        pass_pipeline=passes,
        skip_model_load=True,
    )
