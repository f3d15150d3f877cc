import shutil

import pytest

from spacy_tabcnn.bulk.parts import RUN, Parts, lock_output

SETTINGS = {"part_size": 2}
RESULTS = [{"entities": []}, {"entities": [1]}, {"reason": "\u2028"}, {"entities": [2]}]


@pytest.fixture
def parts(tmp_path):
    parts = Parts(tmp_path / "out.jsonl")
    assert parts.open(SETTINGS)
    return parts


@pytest.fixture
def full(parts):
    """Two parts."""
    parts.write(0, RESULTS[:2])
    parts.write(1, RESULTS[2:])
    return parts


def get_part(parts, number):
    return parts.folder / f"tabcnn-{number:06}.jsonl"


def resume(parts, **options):
    return Parts(parts.output).open(SETTINGS, **options)


def test_a_run_without_parts_begins_anew_with_other_settings(parts):
    assert Parts(parts.output).open({"part_size": 3})
    parts.write(0, RESULTS[:3])
    with pytest.raises(ValueError, match="made with other settings"):
        resume(parts)


def test_a_part_that_was_cut_short_is_no_part(parts):
    def stop():
        yield {"entities": []}
        raise KeyboardInterrupt

    parts.write(0, RESULTS[:2])
    with pytest.raises(KeyboardInterrupt):
        parts.write(1, stop())
    assert parts.count() == 1
    parts.write(1, RESULTS[2:])
    assert list(parts.read()) == RESULTS


def test_parts_after_a_missing_one_do_not_count(parts):
    parts.write(0, [])
    parts.write(2, [])
    assert parts.count() == 1


def test_parts_after_a_missing_one_are_removed_when_a_run_goes_on(full):
    get_part(full, 1).rename(get_part(full, 3))
    assert resume(full) and full.count() == 1
    assert not get_part(full, 3).exists()


def test_a_folder_in_the_place_of_a_part_is_named(full):
    get_part(full, 1).unlink()
    get_part(full, 1).mkdir()
    assert resume(full) and full.count() == 1
    with pytest.raises(OSError, match=r"tabcnn-000001.jsonl: cannot be written \(Is a directory"):
        full.write(1, [])


def test_the_folder_goes_with_what_stopped_runs_left(full):
    (full.folder / ".tabcnn-000001.jsonl.tabcnn-0a.jsonl").touch()
    full.remove()
    assert not full.folder.exists()
    full.remove()


@pytest.mark.parametrize("name", ["mine.jsonl", "000002.jsonl", "settings.json", "a.tmp", "sub/a"])
def test_a_file_of_someone_else_stays_and_disturbs_nothing(full, name):
    path = full.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    assert resume(full) and list(full.read()) == RESULTS
    assert resume(full, overwrite=True)
    Parts(full.output).remove()
    assert [file_ for file_ in full.folder.rglob("*") if file_.is_file()] == [path]
    assert path.read_text() == "mine"


def flip(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"1")] = ord("2")
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def cut_lines(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def double_row(path):
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, first, *others]))


def empty(path):
    path.write_bytes(b"")


def put_text(path):
    path.write_text("my notes\n")


def swap_rows(path):
    first, second, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(second + first + last)


@pytest.mark.parametrize("damage", [flip, cut, cut_lines, double_row, empty, put_text, swap_rows])
def test_a_damaged_part_is_named_with_the_way_out(full, damage):
    damage(get_part(full, 0))
    message = r"tabcnn-000000.jsonl: damaged: .*Remove this file .* or start over with --overwrite"
    with pytest.raises(ValueError, match=message):
        resume(full)
    with pytest.raises(ValueError, match=message):
        list(full.read())
    get_part(full, 0).unlink()
    assert resume(full) and full.count() == 0


def test_a_part_in_the_place_of_another_one_is_named(full):
    shutil.copy(get_part(full, 1), get_part(full, 2))
    with pytest.raises(ValueError, match=r"000002.jsonl: the content of part 1, not of part 2"):
        resume(full)


def test_a_part_of_another_run_is_named(full, tmp_path):
    other = Parts(tmp_path / "other.jsonl")
    other.open(SETTINGS)
    other.write(0, RESULTS[:2])
    shutil.copy(get_part(other, 0), get_part(full, 0))
    with pytest.raises(ValueError, match=r"000000.jsonl: a part of another run"):
        resume(full)


@pytest.mark.parametrize("content", ["[]", "", "{", '{"run": []}', '{"run": {}}', "[" * 5000, "5"])
def test_damaged_settings_are_named_with_the_way_out(full, content):
    (full.folder / RUN).write_text(content)
    with pytest.raises(ValueError, match=r"run.json: damaged: .*Start over with --overwrite"):
        resume(full)
    assert resume(full, overwrite=True) and full.count() == 0


def test_settings_with_another_value_are_damaged(full):
    text = (full.folder / RUN).read_text()
    (full.folder / RUN).write_text(text.replace('"part_size": 2', '"part_size": 3'))
    with pytest.raises(ValueError, match=r"run.json: damaged"):
        resume(full)


def test_parts_without_settings_are_refused(full):
    (full.folder / RUN).unlink()
    with pytest.raises(ValueError, match=r"out.jsonl.parts: holds parts, .* with --overwrite"):
        resume(full)
    assert resume(full, overwrite=True)


def test_an_output_that_is_replaced_stays_until_the_new_one_is_complete(full):
    full.output.write_text("old")
    assert resume(full, overwrite=True)
    assert resume(full) and full.output.read_text() == "old"


def test_a_run_stopped_when_its_output_was_complete_is_only_cleaned_up(full):
    new = full.output.with_name("new")
    new.write_text("complete")
    full.finish(new)
    assert resume(full)  # stopped before the output got its name
    new.rename(full.output)
    assert not resume(full)
    assert full.output.read_text() == "complete" and not full.folder.exists()


def test_an_output_of_someone_else_is_not_taken_for_the_output_of_the_run(full):
    full.output.write_text("mine")
    with pytest.raises(ValueError, match=r"out.jsonl: exists, but not as the run wrote it"):
        resume(full)
    assert full.output.read_text() == "mine"


def test_a_new_run_does_not_replace_rejects(tmp_path):
    rejects = tmp_path / "rejects"
    rejects.write_text("mine")
    parts = Parts(tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match=r"rejects: exists, but .*out.jsonl does not"):
        parts.open(SETTINGS, others=[rejects])
    assert parts.open(SETTINGS, others=[rejects], overwrite=True)


def test_a_file_of_someone_else_is_no_lock(tmp_path):
    (tmp_path / "out.jsonl.lock").write_text("mine")
    lock = lock_output(tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match=r"out.jsonl.lock: is no lock"), lock:
        pass
    assert (tmp_path / "out.jsonl.lock").read_text() == "mine"
