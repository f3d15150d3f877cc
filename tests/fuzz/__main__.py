"""`python -m tests.fuzz`: past findings again, then new inputs for some minutes."""

import argparse
import sys
import time

from .campaign import Campaign, run_for, try_input
from .store import list_stored, load_input, store_input
from .target import list_targets, load_target

# Larger inputs are not kept as files of the repository.
_MAX_STORED = 100_000


def main() -> int:
    """Run the targets one after the other; the exit status is the number of places found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument(
        "--reader", action="append", choices=list_targets(), help="a target; may be repeated"
    )
    parser.add_argument("--seed", type=int, help="the first seed; drawn from the time by default")
    parser.add_argument(
        "--dry", action="store_true", help="print the inputs of findings, and store none"
    )
    arguments = parser.parse_args()
    seed = arguments.seed
    if seed is None:
        seed = int(time.time()) % 10**6
    n_places = 0
    for name in arguments.reader or list_targets():
        n_places += run_target(name, arguments.minutes, seed, dry=arguments.dry)
    return min(n_places, 1)


def run_target(name: str, minutes: float, seed: int, *, dry: bool) -> int:
    """Replay the stored inputs of a target, try new ones, and print the counts."""
    target = load_target(name)
    campaign = Campaign()
    for path in list_stored(name):
        files = load_input(path)
        campaign.add(files, try_input(target, files))
    n_replayed = campaign.outcomes.total()
    start = time.monotonic()
    run_for(target, minutes * 60, seed, campaign)
    spent = (time.monotonic() - start) / 60
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(campaign.outcomes.items()))
    print(
        f"{name}: {campaign.outcomes.total()} inputs ({n_replayed} past ones) in {spent:.1f} "
        f"minutes from seed {seed}: {counts}",
        flush=True,
    )
    for place, count in campaign.places.most_common():
        found = campaign.found[place]
        print(f"  {count} x {place}\n    {found.detail[-1500:]}")
        if dry:
            print(f"    {dict(found.files)!r}"[:5_000], flush=True)
        elif sum(map(len, found.files.values())) <= _MAX_STORED:
            print(f"    {store_input(name, found.files, place)}", flush=True)
    return len(campaign.places)


if __name__ == "__main__":
    sys.exit(main())
