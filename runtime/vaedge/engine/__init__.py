"""ONNX Runtime: the device rule, sessions, chunks of a batch, and fork safety."""
