"""PFN: a recurrent encoder that divides its memory between the two tasks, and units that score
pairs of words.

- `cell`: the partition filter encoder.
- `cells`: the pairs of words that are scored.
- `units`: the scores of pairs.
- `module`: the whole network.
"""

from .module import PFN

__all__ = ["PFN"]
