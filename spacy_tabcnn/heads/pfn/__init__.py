"""PFN: a recurrent cell with a memory for each task, and units that score pairs of words.

- `cell`: the partition filter.
- `cells`: the pairs of words that are scored.
- `units`: the scores of pairs.
- `products`: matrix products in another precision than sums.
- `module`: the whole network.
"""

from .module import PFN

__all__ = ["PFN"]
