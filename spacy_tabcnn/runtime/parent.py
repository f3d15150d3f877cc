"""Worker processes that do not outlive the process that started them."""

import os
from multiprocessing import parent_process
from threading import Thread


def follow_parent() -> None:
    """End this worker process when its parent ends, which it would not notice by itself.

    Without effect in a process that multiprocessing did not start.
    """
    Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
