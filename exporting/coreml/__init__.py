"""A task's version as a Core ML package, by way of TorchScript: coremltools reads no ONNX."""

import logging

logging.getLogger("coremltools").setLevel(logging.ERROR)  # at its import it tells of libraries that are new to it
