"""The code that training and serving share: backbones, bundles and heads. Imports nothing else of this project."""

import os

# From 1.29 on ONNX Runtime reports to Microsoft, and keeps an identifier of the machine. It reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
