"""Run `vaedge train`. `torchrun` starts several processes of one training run with `-m vaedge_train`."""

import sys

from vaedge.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
