"""A LitServe server for the comparison in benchmarks/serving.py: `python serving_litserve.py BUNDLE PORT`."""

import sys

import litserve
import numpy as np

import vaedge


class Decode(litserve.LitAPI):
    """A LitServe API that decodes latents with JSON messages.

    LitServe calls the methods in a separate process, and joins waiting requests in a batch there.
    """

    def setup(self, device):  # noqa: ARG002
        """Load the bundle."""
        self.vae = vaedge.load(sys.argv[1], threads=1)

    def decode_request(self, request):
        """Return the latent in the JSON of a request."""
        return np.array(request["z"], np.float32)

    def batch(self, inputs):
        """Join the latents of several requests into one batch."""
        return np.concatenate(inputs)

    def predict(self, z):
        """Decode a batch of latents to images."""
        return self.vae.decode(z)

    def unbatch(self, output):
        """Divide a batch of images into one image for each request."""
        return list(output[:, None])

    def encode_response(self, output):
        """Return the JSON response for one image."""
        return {"x": output.tolist()}


if __name__ == "__main__":
    api = Decode(max_batch_size=32, batch_timeout=0.001, api_path="/decode")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False, access_log=False
    )
