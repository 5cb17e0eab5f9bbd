"""A file is complete or absent, and the results of earlier runs are kept."""

import pytest

from scratchnet.files import must_be_writable, replacing, set_aside


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half():
        with replacing(path) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(error):
        half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_earlier_files_are_moved_aside_and_none_is_lost(tmp_path):
    assert set_aside(tmp_path, ["a", "b"]) is None
    for content in ("first", "second"):
        (tmp_path / "a").write_text(content)
        (tmp_path / "other").write_text("stays")
        aside = set_aside(tmp_path, ["a", "b"])
        assert (aside / "a").read_text() == content
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "other").read_text() == "stays"
    assert sorted(p.read_text() for p in (tmp_path / "earlier").glob("*/a")) == ["first", "second"]


def test_a_folder_is_created_and_checked_before_the_work(tmp_path):
    must_be_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        must_be_writable(tmp_path / "file" / "c")
