"""Python's search for garbage, which otherwise walks over everything that was ever imported."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Have Python search for garbage only among objects that are made within a block.

    torch, transformers and spaCy make half a million objects when they are imported. Otherwise
    Python looks at all of them after each few thousand documents or hundred training steps, for up
    to a second.
    """
    freeze_heap()
    try:
        yield
    finally:
        gc.unfreeze()


def freeze_heap() -> None:
    """Have Python search for garbage only among objects that are made from now on.

    A program that annotates until it ends calls this once, when its pipeline is loaded.
    """
    gc.collect()
    gc.freeze()
