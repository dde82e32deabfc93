"""Make and measure variants, which are graphs with fewer bits per number. Find the layers that must stay in float32."""
