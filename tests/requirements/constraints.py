"""Print the content of constraints.txt from a report of `pip install --report`. `make constraints` runs this script."""

import json
import sys
from pathlib import Path

HEAD = """\
# The tested version of every package, written by `make constraints`. Every set-up command installs
# these versions. Therefore, a checkout behaves the same later, and no command replaces torch by another build.
"""


def main() -> None:
    """Print the header, and one line for each package except vaedge."""
    report = json.loads(Path(sys.argv[1]).read_text())
    found = [package["metadata"] for package in report["install"]]
    # Remove local labels such as +cpu in 2.13.0+cpu, so that builds for other platforms are allowed, too.
    versions = {package["name"]: package["version"].partition("+")[0] for package in found}
    del versions["vaedge"]
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items(), key=lambda pair: pair[0].lower())]
    sys.stdout.write(HEAD + "".join(lines))


if __name__ == "__main__":
    main()
