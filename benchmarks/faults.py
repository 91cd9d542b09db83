"""How often perfwatch is right: every labelled fault on real servers, its verdicts against what is true.

Cases are run at two intensities, and once with figures that a seed has drawn; the tables say how often principle and
mechanism are right, how sure perfwatch was, how soon it knew, and whether what it predicts comes when the fault is
removed. Runs are kept in `build/faults`: what is there is not run again, and is judged by the rules as they are now.

    python benchmarks/faults.py --quick
    python benchmarks/faults.py --seed 11 --write
    python benchmarks/faults.py --calibrate 500 --seed 100
    python benchmarks/faults.py --judge
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent


def main() -> int:
    # This folder is left out: its `faults` is this file, and the tests' is meant.
    sys.path[:1] = [str(HERE / "accuracy"), str(HERE.parent / "tests")]
    from program import run  # noqa: PLC0415 - found there

    return run(__doc__)


if __name__ == "__main__":
    sys.exit(main())
