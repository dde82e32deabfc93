"""`python -m vaedge_train` is `vaedge train`."""

import argparse
import sys

from vaedge_train.command import add_arguments, run
from vaedge_train.errors import TrainError


def main() -> int:
    """Train as the arguments say; one line on stderr and status 1 where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m vaedge_train")
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except (TrainError, OSError) as error:
        print(f"vaedge_train: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
