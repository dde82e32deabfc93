"""The entry point of the command `vaedge`.

Importing the package `vaedge` imports numpy, which takes some tenths of a second. This module is outside of the
package, so that Ctrl-C during this time ends the command in the usual way.
"""

import sys


def main() -> int:
    """Run the command line, and return its exit status. `vaedge.cli.main.main` lists the statuses."""
    try:
        from vaedge.cli.main import main as run
    except KeyboardInterrupt:
        print("vaedge: interrupted", file=sys.stderr)
        return 130
    return run()
