"""The Open Inference Protocol, version 2 (also KServe's V2 protocol), with Triton's extensions, apart from its routes."""
