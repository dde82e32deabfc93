"""Run graphs in ONNX Runtime: devices, sessions, chunks of a batch, and fork safety."""
