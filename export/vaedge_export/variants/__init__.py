"""Make and measure variants, which are graphs with fewer bits per number. Search the layers to keep in float32."""
