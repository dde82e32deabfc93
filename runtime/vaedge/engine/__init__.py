"""ONNX Runtime: sessions, the graphs that they run, and how a batch goes through them."""
