"""Variants of the graphs with fewer bits: quantizers, measurements, and the search for layers to keep in float32."""
