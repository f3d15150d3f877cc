import pytest
import torch

from spacy_tabcnn.runtime import free_memory
from spacy_tabcnn.runtime.free_memory import ASSUMED_FREE, MemoryGroup, find_free_memory

CPU = torch.device("cpu")
MEMINFO = "MemTotal:  2000 kB\nMemAvailable:  1000 kB\n"
STAT = "anon 100\ninactive_file 30\nactive_file 20\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Replaces the files of the system: none of them, but those that are written."""
    group = MemoryGroup(
        tmp_path / "limit", tmp_path / "used", tmp_path / "stat", ("inactive_file", "active_file")
    )
    monkeypatch.setattr(free_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "GROUPS", (group,))

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text)

    return write


def test_a_system_that_does_not_say(write):
    assert find_free_memory(CPU) == ASSUMED_FREE


def test_the_free_memory_of_the_system(write):
    write(meminfo=MEMINFO)
    assert find_free_memory(CPU) == 1_024_000


def test_the_limit_of_a_container(write):
    write(meminfo=MEMINFO, limit="500\n", used="150\n", stat=STAT)
    assert find_free_memory(CPU) == 500 - (150 - 30 - 20)


def test_a_limit_without_details(write):
    write(limit="500\n", used="150\n")
    assert find_free_memory(CPU) == 350


def test_a_container_that_uses_more_than_its_limit(write):
    write(meminfo=MEMINFO, limit="500\n", used="700\n", stat=STAT)
    assert find_free_memory(CPU) == 0


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n", ""])
def test_a_group_without_limit(limit, write):
    write(meminfo=MEMINFO, limit=limit, used="150\n", stat=STAT)
    assert find_free_memory(CPU) == 1_024_000


def test_lines_without_numbers(write):
    write(meminfo="\nMemAvailable: unknown kB\nother\n")
    assert find_free_memory(CPU) == ASSUMED_FREE


def test_this_system():
    assert find_free_memory(CPU) > 0
