"""Train: `python train.py [KEY=VALUE ...]` is `zipmap fit [KEY=VALUE ...]`."""

import os
import sys

# Our datasets/ must not shadow the package of that name: drop this folder from the import path.
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or os.getcwd()) != _here]

if __name__ == "__main__":
    from zipmap_pl.cli.main import main

    sys.exit(main(["fit", *sys.argv[1:]]))
