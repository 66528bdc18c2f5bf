"""A task's version as a TensorFlow Lite model: the ONNX export's own steps, written as its operators."""
