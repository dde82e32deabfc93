"""Run `vaedge train` as a module. `torchrun -m vaedge_train` trains one model in several processes."""

import sys

from vaedge.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
