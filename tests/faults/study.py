"""A study that finds dead workers in seconds: `python -m tests.faults.study DB CONFIG DIR`."""

import sys
from pathlib import Path

from experiments.grid import make_grid
from experiments.study import run_study
from experiments.training import SpacyTrain

SYSTEM = "A"


def main() -> None:
    url, config, output = map(Path, sys.argv[1:])
    runs = make_grid([SYSTEM], layers=[0, 1], states=[True, False], seeds=[1])
    run_study(url, "kills", runs, SpacyTrain({SYSTEM: config}, output=output), heartbeat=1)


if __name__ == "__main__":
    main()
