"""`python -m tests.hostile`: what becomes of each hostile model directory."""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from .bases import save_bases
from .cases import CASES
from .runner import run_cases


def main() -> int:
    """Run all cases, or the ones whose names contain an argument; print each outcome."""
    load = "checked"
    parts = sys.argv[1:]
    if "--spacy" in parts:
        parts.remove("--spacy")
        load = "spacy"
    names = [name for name in CASES if not parts or any(part in name for part in parts)]
    counts: Counter[str] = Counter()
    n_faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = save_bases(folder / "bases")
        for case, faults, outcome in run_cases(names, bases, folder / "run", load=load):
            counts[str(outcome["outcome"])] += 1
            n_faults += bool(faults)
            message = str(outcome.get("message", "")).replace(str(folder), "")
            print(f"{'FAULT' if faults else 'ok':6}{outcome['outcome']:10}{case}")
            print(f"      {outcome.get('seconds', 0):.2f} s {message[:400]}")
            for fault in faults:
                print(f"      ! {fault}")
            if faults and "detail" in outcome:
                print(outcome["detail"])
    print(f"{len(names)} directories: {dict(counts)}; {n_faults} with faults")
    return min(n_faults, 1)


if __name__ == "__main__":
    sys.exit(main())
