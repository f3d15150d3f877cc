"""The memory that is free on a device."""

from pathlib import Path
from typing import NamedTuple

import torch

MEMINFO = Path("/proc/meminfo")
# Bytes that count as free where the system does not say: 2 GiB.
ASSUMED_FREE = 2 * 2**30


class MemoryGroup(NamedTuple):
    """The files of a control group of Linux, by which containers are limited.

    limit (Path): Maximum number of bytes, or "max".
    used (Path): Number of bytes in use, with copies of files.
    details (Path): The parts of them, a name and a number a line.
    files (tuple[str, ...]): Names of the parts that are copies of files, which the system gives up
        when memory is short.
    """

    limit: Path
    used: Path
    details: Path
    files: tuple[str, ...]


VERSION_2 = Path("/sys/fs/cgroup")
VERSION_1 = Path("/sys/fs/cgroup/memory")
GROUPS = (
    MemoryGroup(
        VERSION_2 / "memory.max",
        VERSION_2 / "memory.current",
        VERSION_2 / "memory.stat",
        ("inactive_file", "active_file"),
    ),
    MemoryGroup(
        VERSION_1 / "memory.limit_in_bytes",
        VERSION_1 / "memory.usage_in_bytes",
        VERSION_1 / "memory.stat",
        ("total_inactive_file", "total_active_file"),
    ),
)


def find_free_memory(device: torch.device) -> int:
    """Return the number of bytes that are free on a device, on a CPU within a container's limit.

    device (torch.device): A CPU or CUDA device.
    RETURNS (int): The number; `ASSUMED_FREE` if the system does not say.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = []
    for free in (_find_free_of_system(), *map(_find_free_of_group, GROUPS)):
        if free is not None:
            known.append(free)
    return min(known, default=ASSUMED_FREE)


def _find_free_of_system() -> int | None:
    kibibytes = _read_numbers(MEMINFO).get("MemAvailable:")
    return None if kibibytes is None else 1024 * kibibytes


def _find_free_of_group(group: MemoryGroup) -> int | None:
    limit, used = _read_number(group.limit), _read_number(group.used)
    if limit is None or used is None:
        return None
    details = _read_numbers(group.details)
    for name in group.files:
        used -= details.get(name, 0)
    return max(0, limit - max(0, used))


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # There is no such group, or it has no limit.
        return None


def _read_numbers(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    numbers = {}
    for line in lines:
        parts = line.split()
        if len(parts) > 1 and parts[1].isdecimal():
            numbers[parts[0]] = int(parts[1])
    return numbers
