"""Serve bundles on Ray Serve, which adds replicas under load. The protocol is that of `vaedge serve`.

    pip install 'ray[serve]'
    python examples/ray_serve.py models/mnist models/article

Each replica is a process that loads the bundles and uses one thread for each bundle. On a cluster, store the bundles in
a folder that every node can read, and join the cluster with `ray.init(address="auto")`. To deploy without this script,
write `app = deploy("models/mnist")` in your own module, and run `serve run MODULE:app`.
"""

import sys

from ray import serve

import vaedge
from vaedge.server import create_app

# Maximum number of requests that a replica receives at the same time. The replica joins waiting requests.
MAX_REQUESTS = 64


def deploy(*bundles: str, min_replicas: int = 1, max_replicas: int = 4) -> serve.Application:
    """Return an application of Ray Serve that serves bundles.

    Args:
        bundles: Paths of the bundles. Every node must be able to read them.
        min_replicas: Minimum number of replicas.
        max_replicas: Maximum number of replicas.
    """

    def create_in_replica():
        return create_app([vaedge.load(path, threads=1) for path in bundles])

    deployment = serve.deployment(
        serve.ingress(create_in_replica)(),
        name="vaedge",
        max_ongoing_requests=MAX_REQUESTS,
        autoscaling_config={
            "min_replicas": min_replicas,
            "max_replicas": max_replicas,
            "target_ongoing_requests": MAX_REQUESTS // 2,
        },
    )
    return deployment.bind()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    serve.run(deploy(*sys.argv[1:]), blocking=True)
