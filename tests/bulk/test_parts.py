import pytest

from spacy_tabcnn.bulk.parts import Parts, atomic_file


@pytest.fixture
def parts(tmp_path):
    parts = Parts(tmp_path / "out.jsonl")
    assert parts.open({"part_size": 2})
    return parts


def test_a_file_has_its_name_only_once_it_is_complete(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path, tmp_path) as file_:
        file_.write(b"n" * 100_000)
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with atomic_file(path, tmp_path) as file_:
        file_.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_part_that_was_cut_short_is_no_part(parts):
    def stop():
        yield {"entities": []}
        raise KeyboardInterrupt

    parts.write(0, [{"entities": []}, {"entities": [1]}])
    with pytest.raises(KeyboardInterrupt):
        parts.write(1, stop())
    assert parts.count() == 1
    parts.write(1, [{"reason": "\u2028"}])
    assert list(parts.read()) == [{"entities": []}, {"entities": [1]}, {"reason": "\u2028"}]


def test_parts_after_a_missing_one_do_not_count(parts):
    parts.write(0, [])
    parts.write(2, [])
    assert parts.count() == 1


def test_the_folder_goes_with_what_stopped_runs_left(parts):
    parts.write(0, [])
    (parts.folder / "000001.jsonl.1.tmp").touch()
    parts.remove()
    assert not parts.folder.exists()
    parts.remove()
