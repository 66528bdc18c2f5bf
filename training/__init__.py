"""The offline trainer: images of base classes in, a bundle out. Imports `models`, never `server`."""

import models  # noqa: F401 -- before ONNX Runtime is imported anywhere, which would else report to its maker
