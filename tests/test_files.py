import errno
import os
import stat
import subprocess
import sys

import pytest

from spacy_tabcnn import files
from spacy_tabcnn.files import (
    check_outputs,
    fill_folder,
    is_temporary,
    open_output,
    replace_file,
    replace_folder,
    restore_folder,
    write_json,
    write_text,
)

from .faults.kills import kill_at_steps, needs_kills
from .faults.limits import call_limited, make_open_folder, needs_limits

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def run_alone(code):
    """Run code in another process, with the names of the module, which needs no other one."""
    code = f"import runpy; globals().update(runpy.run_path({files.__file__!r})); {code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_file_has_its_name_only_once_it_is_complete(tmp_path):
    path = tmp_path / "new" / "out.json"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), open_output(path) as file_:
        file_.write(b"n" * 100_000)
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with open_output(path) as file_:
        file_.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list_names(path.parent) == ["out.json"]


def test_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "out.txt", "a\r\né\n")
    assert (tmp_path / "out.txt").read_bytes() == "a\r\né\n".encode()


def test_json_is_written_only_if_it_can_be(tmp_path):
    write_json(tmp_path / "out.json", {"é": [1]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "out.json", {"score": float("nan")})
    assert "é" in (tmp_path / "out.json").read_text(encoding="utf-8")
    assert list_names(tmp_path) == ["out.json"]


def test_the_temporary_file_has_the_suffix_of_the_target(tmp_path):
    with replace_file(tmp_path / "out.png") as temporary:
        assert temporary.suffix == ".png" and temporary.parent == tmp_path


@needs_posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "there" / "file")
    for text in ("first", "second"):
        write_text(tmp_path / "out", text)
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "there" / "file").read_text() == text


@needs_posix
def test_permissions_stay(tmp_path):
    path = tmp_path / "out"
    write_text(path, "old")
    path.chmod(0o640)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_the_owner_stays(tmp_path):
    path = tmp_path / "out"
    write_text(path, "old")
    os.chown(path, 4321, 1234)
    write_text(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 1234)


@needs_posix
@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout"])
def test_a_device_is_not_replaced(name):
    result = run_alone(f"write_text({name!r}, 'text')")
    assert result.stdout == ("text" if name == "/dev/stdout" else "") and not result.returncode
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@needs_posix
def test_a_full_disk_is_named_and_the_old_file_is_kept(tmp_path):
    write_text(tmp_path / "out", "old")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    result = run_alone(f"{limit}; write_text({str(tmp_path / 'out')!r}, 'n' * 5000)")
    assert f"OSError: {tmp_path / 'out'}: cannot be written (File too large)" in result.stderr
    assert "The old one is kept" in result.stderr
    assert (tmp_path / "out").read_text() == "old" and list_names(tmp_path) == ["out"]


def test_an_error_of_an_input_is_not_ascribed_to_the_output(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replace_file(tmp_path / "out"):
        (tmp_path / "input").read_bytes()
    assert "input" in str(caught.value) and "cannot be written" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError, match="out: cannot be written"):
        write_text(tmp_path / "out", "text")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file: cannot be written"), replace_folder(tmp_path / "file"):
        pass
    with pytest.raises(OSError, match=r"file.x: cannot be written"):
        write_text(tmp_path / "file" / "x", "text")


@needs_limits
def test_protected_files_and_folders_are_named():
    for folder in make_open_folder():
        (folder / "there").mkdir()
        write_text(folder / "there" / "old", "old")
        (folder / "there").chmod(0o555)
        message = call_limited(write_text, folder / "there" / "old", "new", as_nobody=True)
        assert "old: cannot be written (Permission denied). The old one is kept" in message
        message = call_limited(write_text, folder / "there" / "new", "new", as_nobody=True)
        assert "new: cannot be written (Permission denied). No file was made" in message
        (folder / "there").chmod(0o777)
        message = call_limited(write_text, folder / "there" / "old", "new", as_nobody=True)
        assert "old: cannot be written (Permission denied). The old one is kept" in message
        assert (folder / "there" / "old").read_text() == "old"


def write_folder(path, text):
    with replace_folder(path) as temporary:
        (temporary / "a").write_text(text)
        (temporary / "sub").mkdir()
        (temporary / "sub" / "b").write_text(text)


def read_folder(path):
    return {file_.name: file_.read_text() for file_ in path.rglob("*") if file_.is_file()}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "out"
    write_folder(path, "old")
    (path / "more").touch()
    with pytest.raises(KeyboardInterrupt), replace_folder(path) as temporary:
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert read_folder(path) == {"a": "old", "b": "old", "more": ""}
    write_folder(path, "new")
    assert read_folder(path) == {"a": "new", "b": "new"}
    assert list_names(path.parent) == ["out"]


def fill(path, text):
    with fill_folder(path) as temporary:
        (temporary / "a").write_text(text)
        (temporary / "sub").mkdir()
        (temporary / "sub" / "b").write_text(text)


def test_files_get_their_names_together(tmp_path):
    path = tmp_path / "new" / "out"
    fill(path, "old")
    (path / "mine").touch()
    with pytest.raises(KeyboardInterrupt), fill_folder(path) as temporary:
        assert is_temporary(temporary / "a") and not is_temporary(path / "a")
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert read_folder(path) == {"a": "old", "b": "old", "mine": ""}
    fill(path, "new")
    assert read_folder(path) == {"a": "new", "b": "new", "mine": ""}
    assert list_names(path) == ["a", "mine", "sub"]


def test_no_file_gets_its_name_if_one_cannot(tmp_path):
    (tmp_path / "out" / "sub" / "b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match="b: cannot be written"):
        fill(tmp_path / "out", "new")
    assert list_names(tmp_path / "out") == ["sub"]


@needs_posix
@pytest.mark.parametrize("write", [fill_folder, replace_folder])
def test_an_error_within_a_folder_names_the_file_that_it_would_be(tmp_path, write):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").touch()
    caught = pytest.raises(OSError, match=f"^{tmp_path}/out/a: cannot .* The old one is kept")
    with caught, write(tmp_path / "out") as folder, open_output(folder / "a"):
        raise OSError(errno.ENOSPC, "No space left")


def test_a_folder_that_was_not_filled_does_not_stay(tmp_path):
    with pytest.raises(KeyboardInterrupt), fill_folder(tmp_path / "out"):
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()


@needs_kills
def test_the_files_of_a_folder_are_complete_after_a_kill_at_any_step(tmp_path):
    path = tmp_path / "out"
    fill(path, "old")
    for place in kill_at_steps(fill, path, "new"):
        assert set(read_folder(path).values()) <= {"old", "new"}, place
        fill(path, "old")
        assert list_names(path) == ["a", "sub"], place
    assert read_folder(path) == {"a": "new", "b": "new"}


@needs_kills
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_complete_after_a_kill_at_any_step(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr("spacy_tabcnn.files._exchange", lambda path, other: False)
    path = tmp_path / "out"
    write_folder(path, "old")
    n_kills = 0
    for place in kill_at_steps(write_folder, path, "new"):
        assert path.exists() or not can_exchange, place
        restore_folder(path)
        assert read_folder(path) in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"}), place
        write_folder(path, "old")
        assert list_names(tmp_path) == ["out"], place
        n_kills += 1
    assert n_kills > 10 and read_folder(path) == {"a": "new", "b": "new"}


@needs_kills
def test_a_file_is_complete_after_a_kill_at_any_step_and_nothing_is_left_over(tmp_path):
    path = tmp_path / "out.json"
    write_text(path, "old")
    for place in kill_at_steps(write_text, path, "new"):
        assert path.read_text() in ("old", "new"), place
        write_text(path, "old")
        assert list_names(tmp_path) == ["out.json"], place
    assert path.read_text() == "new"


def test_two_writers_do_not_mix(tmp_path):
    with open_output(tmp_path / "out") as one:
        with open_output(tmp_path / "out") as other:
            one.write(b"one")
            other.write(b"other")
        assert (tmp_path / "out").read_bytes() == b"other"
    assert (tmp_path / "out").read_bytes() == b"one"
    assert list_names(tmp_path) == ["out"]


@pytest.fixture
def names(tmp_path):
    """A file with other names, a folder around it, and a link to the folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    os.link(tmp_path / "folder" / "file", tmp_path / "hard")
    (tmp_path / "around").symlink_to(tmp_path / "folder")
    return tmp_path


@needs_posix
@pytest.mark.parametrize(
    "output,source",
    [
        ("folder/file", "folder/file"),
        ("folder/../folder/file", "folder/file"),
        ("link", "folder/file"),
        ("folder/file", "link"),
        ("hard", "folder/file"),
        ("around/file", "hard"),
        ("around/new", "folder/new"),
    ],
)
def test_an_output_is_no_input(names, output, source):
    with pytest.raises(ValueError, match=f"{output}: .* Name another"):
        check_outputs([names / output], [names / source])


@needs_posix
@pytest.mark.parametrize("folder", ["folder", "around"])
def test_a_folder_that_is_replaced_holds_no_input(names, folder):
    with pytest.raises(ValueError, match=r"the input .*link is in this folder"):
        check_outputs([], [names / "link"], replaced=[names / folder])
    check_outputs([names / folder], [names / "link"])


@needs_posix
def test_two_outputs_are_not_one(names):
    with pytest.raises(ValueError, match=r"hard: is the output .*link too"):
        check_outputs([names / "link", names / "hard"], [])
    with pytest.raises(ValueError, match="is the output new too"):
        check_outputs(["new", "new"], [])


@needs_posix
def test_other_outputs_are_allowed(names):
    outputs = [names / "folder" / "other", names / "new", names / ("x" * 300)]
    check_outputs(outputs, [names / "link", names / "missing"])


def test_a_folder_that_is_replaced_holds_no_other_output(tmp_path):
    with pytest.raises(ValueError, match=r"the other output .*scores.json is in this folder"):
        check_outputs([tmp_path / "new" / "scores.json"], [], replaced=[tmp_path / "new"])
    check_outputs([tmp_path / "new.json"], [], replaced=[tmp_path / "new"])
