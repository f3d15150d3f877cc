"""Loads hostile model directories within limits, and writes what became of each.

It is a process of its own, since a limit on memory holds for a process.
"""

import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import spacy
from spacy.language import Language

from spacy_tabcnn.pipeline.loading import load_pipeline

from .bases import TEXT

SECONDS = 30
_GIGABYTE = 2**30
# Names of events of Python that show a program at work: no model needs them.
_PROGRAMS = ("os.exec", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "urllib.Request")

Outcome = dict[str, object]


class Watch:
    """Notes writes outside of the temporary folder, programs, and the network."""

    def __init__(self, folder: str):
        self.folder = os.path.realpath(folder)
        self.seen: list[str] = []
        self.is_on = False
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_on:
            return
        if event in _PROGRAMS or event in _NETWORK:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str | bytes) and not self._is_temporary(path):
                self.seen.append(f"open {path!r} {mode!r}")
        elif event in ("os.remove", "os.rename", "os.mkdir", "os.link", "os.symlink"):
            path = arguments[0]
            if arguments[-1] not in (-1, None) and event == "os.remove":
                path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), str(path))
            if isinstance(path, str | bytes) and not self._is_temporary(path):
                self.seen.append(f"{event} {path!r}")

    def _is_temporary(self, path: str | bytes) -> bool:
        full = os.path.realpath(os.fsdecode(path))
        return full.startswith((self.folder, "/dev/null")) or full.endswith(".pyc")


def describe(nlp: Language) -> list[object]:
    """Return the annotation of a text."""
    doc = nlp(TEXT)
    entities = [[ent.start, ent.end, ent.label_] for ent in doc.ents]
    relations = []
    for relation in doc._.relations:
        relations.append([relation.head.start, relation.tail.start, relation.label])
    return [entities, relations]


def try_folder(folder: Path, watch: Watch, load: str) -> Outcome:
    """Load a directory and annotate a text, within a time."""
    start = time.monotonic()
    signal.alarm(SECONDS)
    watch.seen = []
    watch.is_on = True
    outcome: Outcome = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nlp = spacy.load(folder) if load == "spacy" else load_pipeline(folder)
            outcome = {"outcome": "loaded", "found": describe(nlp)}
    except (ValueError, OSError) as err:
        outcome = {"outcome": "refused", "message": str(err), "type": type(err).__name__}
    except BaseException as err:
        detail = "".join(traceback.format_exception(err))[-3000:]
        outcome = {"outcome": "traceback", "message": str(err), "detail": detail}
    finally:
        signal.alarm(0)
        watch.is_on = False
    outcome["seconds"] = time.monotonic() - start
    outcome["seen"] = list(watch.seen)
    return outcome


def _stop(*arguments: object) -> None:
    raise TimeoutError(f"no answer within {SECONDS} s")


def main() -> None:
    """Read folders from the standard input, one a line, and write an outcome for each."""
    load = sys.argv[1]
    watch = Watch(os.environ["TMPDIR"])
    signal.signal(signal.SIGALRM, _stop)
    limit = int(sys.argv[2]) * _GIGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        outcome = try_folder(Path(line.rstrip("\n")), watch, load)
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
