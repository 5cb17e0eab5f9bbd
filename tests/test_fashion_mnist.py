"""Fashion-MNIST: files are found or downloaded, and always verified, even from a server that misbehaves."""

import gzip
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import http_server as web
import numpy as np
import pytest
from conftest import ROOT, alone
from http_server import http_server

from scratchnet.data import dataset, download, fashion_mnist
from scratchnet.data.fashion_mnist import FILES, FashionMNISTUnavailable, File, NoSuchFolder, data_folder, load
from scratchnet.data.idx import write_idx


def obtain(file, folder, urls):
    """`file` from `folder`, or else from the mirrors with these addresses."""
    return fashion_mnist.obtain(file, folder, download.share(urls))


def published(folder, name, array):
    """Make a small file like those on a mirror; return its entry with sizes and hashes, and its content."""
    write_idx(folder / name, array)
    content = (folder / name).read_bytes()
    plain = gzip.decompress(content)
    entry = File(name, len(content), hashlib.sha256(content).hexdigest(), len(plain), hashlib.sha256(plain).hexdigest())
    return entry, content


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return published(
        tmp_path_factory.mktemp("mirror"),
        "train-labels-idx1-ubyte.gz",
        np.random.default_rng(0).integers(10, size=20_000, dtype=np.uint8),
    )


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Use the real waiting times, only shorter, and ignore the settings of this machine."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "PATIENCE", 10.0)
    for name in ("SCRATCHNET_MIRROR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def very_impatient(monkeypatch):
    """For servers that stop sending."""
    monkeypatch.setattr(download, "PATIENCE", 1.0)


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# --- a server that works ---


@pytest.mark.skipif(sys.platform == "win32", reason="Windows renames no file that is open, so none is locked")
def test_what_a_killed_download_left_half_written_is_removed_by_the_next_one(tmp_path, labels):
    file, content = labels
    (tmp_path / "fashion-mnist").mkdir()
    (tmp_path / "fashion-mnist" / f".{file.name}.scratchnet-x1y2z3_4.tmp").write_bytes(content[:100])
    with http_server({file.name: content}) as server:
        obtain(file, tmp_path, [server.url])
    assert files_in(tmp_path) == [f"fashion-mnist/{file.name}"]


def test_a_file_is_downloaded_verified_and_kept(tmp_path, labels):
    file, content = labels
    with http_server({file.name: content}) as server:
        path = obtain(file, tmp_path, [server.url])
        assert path == tmp_path / "fashion-mnist" / file.name
        assert path.read_bytes() == content
        assert obtain(file, tmp_path, [server.url]) == path
        assert server.requested == [file.name]  # the second call made no request
    assert files_in(tmp_path) == [f"fashion-mnist/{file.name}"]


def test_a_folder_called_fashion_mnist_is_filled_directly(tmp_path, labels):
    file, content = labels
    with http_server({file.name: content}) as server:
        assert obtain(file, tmp_path / "fashion-mnist", [server.url]).parent == tmp_path / "fashion-mnist"


@pytest.mark.parametrize("place", [".", "fashion-mnist"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_an_intact_file_is_found_in_the_folder_and_in_its_subfolder(tmp_path, labels, place, unpacked):
    file, content = labels
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    path = folder / (file.idx_name if unpacked else file.name)
    path.write_bytes(gzip.decompress(content) if unpacked else content)
    assert obtain(file, tmp_path, []) == path


RECOVERIES = {
    "a redirect is followed": [web.redirect],
    "the body of a redirect has no end": [web.redirect_with_an_endless_body],
    "a 500 is tried again": [web.answer(500), web.answer(503), web.serve],
    "a 429 is tried again": [web.answer(429), web.serve],
    "a broken transfer is tried again": [web.truncate, web.serve],
    "a stalled transfer is tried again": [web.stall, web.serve],
    "a short answer without a length is tried again": [web.truncate_without_length, web.serve],
    "a length that is too short is tried again": [web.promise_less, web.serve],
    "chunks are put together": [web.send_chunks],
    "a wrong content encoding is ignored": [web.label_as_gzip],
    "a file that the server compresses once more is unpacked once": [web.pack],
}


@pytest.mark.usefixtures("very_impatient")
@pytest.mark.parametrize("case", RECOVERIES)
def test_one_mirror_is_enough_where(tmp_path, labels, case):
    file, content = labels
    with http_server({file.name: content}, *RECOVERIES[case]) as server:
        assert obtain(file, tmp_path, [server.url]).read_bytes() == content


@pytest.mark.parametrize("behave", [web.serve, web.label_as_gzip, web.pack])
def test_the_idx_file_from_a_server_that_decompresses_is_accepted(tmp_path, labels, behave):
    """The server sends the IDX file itself. It is verified by its own hash and saved under its own name."""
    file, content = labels
    plain = gzip.decompress(content)
    with http_server({file.name: plain}, behave) as server:
        path = obtain(file, tmp_path, [server.url])
    assert path.name == "train-labels-idx1-ubyte"
    assert path.read_bytes() == plain
    assert obtain(file, tmp_path, []) == path


# --- a server that misbehaves ---


def mnist_labels(folder):
    write_idx(folder / "digits.gz", np.array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5], np.uint8))
    return (folder / "digits.gz").read_bytes()


FAILURES = {
    "a page of HTML": ([web.say(b"<!DOCTYPE html><html>Log in!</html>")], "contains an HTML page instead of the file"),
    "a 404": ([web.answer(404)], "answered 404"),
    "a 500, each time": ([web.answer(500)], "answered 500"),
    "silence": ([web.never_answer], "did not answer in time"),
    "half of it, and silence": ([web.stall], r"stopped sending after [\d,]+ of 10,076 bytes"),
    "half of it, each time": ([web.truncate], "lost the connection after"),
    "a length that is too short": ([web.promise_less], "is damaged or truncated"),
    "a drip": ([web.drip], r"is too slow \([\d,]+ bytes per second\)"),
    "a flood": ([web.flood], "sent more than the 20,008 bytes that the file can have"),
    "nothing": ([web.say(b"")], "is damaged or truncated"),
    "garbage": ([web.say(b"garbage")], "is damaged or truncated"),
    "a page of HTML after a byte order mark": ([web.say(b"\xef\xbb\xbf\r\n<html>")], "contains an HTML page"),
    "a header that never ends": ([web.drip_a_header(b"HTTP/1.1 200 OK\r\nX-Slow: ")], "did not answer in time"),
    "a status that never ends": ([web.drip_a_header(b"HTTP/1.1 200 ")], "did not answer in time"),
    "a redirect that never ends": (
        [web.drip_a_header(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nX-Slow: ")],
        "did not answer in time",
    ),
    "a prelude without end": ([web.continue_without_end], "did not answer in time"),
    "redirects without end": ([web.lead_to("/again")], "redirects more than 5 times"),
    "a redirect to no address": ([web.lead_to("http://[::bad/")], r"redirects to http://\[::bad/, which is no address"),
    "a redirect to a file": (
        [web.lead_to("file:///etc/passwd")],
        "redirects to file:///etc/passwd, which is neither http nor https",
    ),
    "a redirect to a port that is none": ([web.lead_to("http://localhost:99999/")], "cannot be reached"),
    "a reason with an escape sequence": (
        [web.speak(b"HTTP/1.1 404 \x1b]0;owned\x07\x1b[31m\xc2\x9bno")],
        re.escape(r"answered 404 \x1b]0;owned\x07\x1b[31m"),
    ),
    "a redirect with an escape sequence": (
        [web.speak(b"HTTP/1.1 302 Found\r\nLocation: gopher:\x1b[2J" + b"x" * 5000)],
        r"redirects to gopher:\\x1b\[2Jx{100,200}…",
    ),
    "a compressed page of HTML": ([web.say(gzip.compress(b"<html>"))], "contains an HTML page"),
}


@pytest.mark.usefixtures("very_impatient")
@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_explained_and_the_next_mirror_is_tried(tmp_path, labels, case):
    file, content = labels
    behaviours, reason = FAILURES[case]
    with http_server({file.name: content}, *behaviours) as bad, http_server({file.name: content}) as good:
        with pytest.raises(FashionMNISTUnavailable, match=f"{bad.url}{file.name} {reason}") as raised:
            obtain(file, tmp_path / "a", [bad.url])
        assert str(raised.value).replace("\n", "").isprintable()
        assert obtain(file, tmp_path / "b", [bad.url, good.url]).read_bytes() == content
    assert files_in(tmp_path / "a") == []


def test_after_a_server_that_refuses_connections_the_next_is_tried(tmp_path, labels):
    file, content = labels
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    with pytest.raises(FashionMNISTUnavailable, match="cannot be reached"):
        obtain(file, tmp_path / "a", [closed])
    with http_server({file.name: content}) as good:
        assert obtain(file, tmp_path / "b", [closed, good.url]).read_bytes() == content


def test_a_proxy_that_serves_mnist_under_the_same_name_is_detected(tmp_path, labels):
    file, content = labels
    with http_server({file.name: mnist_labels(tmp_path)}) as bad, http_server({file.name: content}) as good:
        with pytest.raises(FashionMNISTUnavailable, match="contains the digits of MNIST, not Fashion-MNIST"):
            obtain(file, tmp_path / "a", [bad.url])
        assert bad.requested == [file.name]  # another request would not help
        assert obtain(file, tmp_path / "b", [bad.url, good.url]).read_bytes() == content


@pytest.mark.parametrize(("bright_rows", "mnist"), [(4, True), (0, False), (9, False)])
def test_images_as_dark_as_digits_are_reported_as_mnist(tmp_path, bright_rows, mnist):
    images = np.zeros((10, 28, 28), np.uint8)
    images[:, :bright_rows, :] = 235  # 4 of 28 rows: mean 33.6, near the 33.3 of MNIST; 9 rows: 75.5, near the clothes
    file, _ = published(tmp_path, "train-images-idx3-ubyte.gz", np.ones_like(images))
    write_idx(tmp_path / file.name, images)
    with pytest.raises(FashionMNISTUnavailable, match="digits of MNIST" if mnist else "is not the published file"):
        obtain(file, tmp_path, [])


def test_an_invalid_address_is_not_tried_again(tmp_path, labels, monkeypatch):
    file, _ = labels
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("paused for another attempt"))
    with pytest.raises(FashionMNISTUnavailable) as raised:
        obtain(file, tmp_path, ["nonsense", "ftp://127.0.0.1/"])
    assert str(raised.value).count("cannot be reached") == 2


def test_a_gzip_bomb_is_not_unpacked_to_see_what_it_is(tmp_path, labels):
    file, _ = labels
    bomb = gzip.compress(b"\0\0\x08\x01\xff\xff\xff\xff" + bytes(200 << 20), compresslevel=1)
    (tmp_path / file.name).write_bytes(bomb)
    file = replace(file, size=len(bomb))
    tracemalloc.start()
    try:
        with pytest.raises(FashionMNISTUnavailable, match="is not the published file"):
            obtain(file, tmp_path, [])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_whole_file_with_a_wrong_hash_is_refused(tmp_path, labels):
    file, _ = labels
    _, other = published(tmp_path, "other.gz", np.arange(200, dtype=np.uint8))
    with http_server({file.name: other}) as server:
        with pytest.raises(
            FashionMNISTUnavailable, match=r"is not the published file: expected the SHA-256 \w{16}…, got \w{16}…"
        ):
            obtain(file, tmp_path / "a", [server.url])
        assert len(server.requested) == 1


def test_the_error_lists_everything_that_was_tried(tmp_path, labels):
    file, _ = labels
    with http_server({}, web.answer(404)) as one, http_server({}, web.say(b"<html>")) as two:
        with pytest.raises(FashionMNISTUnavailable) as raised:
            obtain(file, tmp_path, [one.url, two.url])
    assert str(raised.value).splitlines() == [
        f"{file.name} is not in {tmp_path} or its subfolder fashion-mnist, and no mirror delivered it:",
        f"  - {one.url}{file.name} answered 404 Not Found",
        f"  - {two.url}{file.name} contains an HTML page instead of the file",
    ]


# --- damaged and wrong files on this machine ---


def test_a_truncated_file_is_replaced_and_nothing_is_lost(tmp_path, labels, capsys):
    file, content = labels
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    (folder / file.name).write_bytes(content[:1000])
    with http_server({file.name: content}) as server:
        assert obtain(file, tmp_path, [server.url]).read_bytes() == content
    assert f"{folder / file.name} is damaged or truncated (expected 10,076 bytes, got 1,000)" in capsys.readouterr().err
    kept = f"{file.name}.damaged-{hashlib.sha256(content[:1000]).hexdigest()[:8]}"
    assert files_in(folder) == sorted([file.name, kept])
    assert (folder / kept).read_bytes() == content[:1000]


def test_a_truncated_file_stays_until_an_intact_one_replaces_it(tmp_path, labels):
    file, content = labels
    (tmp_path / "fashion-mnist").mkdir()
    path = tmp_path / "fashion-mnist" / file.name
    path.write_bytes(content[:1000])
    with http_server({}, web.answer(404)) as server, pytest.raises(FashionMNISTUnavailable, match="is damaged"):
        obtain(file, tmp_path, [server.url])
    assert path.read_bytes() == content[:1000]


def test_an_unreadable_file_is_reported_in_one_sentence_and_left_alone(tmp_path, labels, monkeypatch):
    file, content = labels
    (tmp_path / file.name).write_bytes(content)

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch, http_server({file.name: content}) as server:
        patch.setattr(Path, "read_bytes", refuse)  # root can read any file, and may run this test
        with pytest.raises(FashionMNISTUnavailable, match=rf"{file.name} cannot be read \(Permission denied\): change"):
            obtain(file, tmp_path, [server.url])
        assert server.requested == []
    assert files_in(tmp_path) == [file.name]


def test_a_file_of_mnist_is_reported_and_left_alone(tmp_path, labels, capsys):
    file, content = labels
    digits = mnist_labels(tmp_path)
    (tmp_path / file.name).write_bytes(digits)
    with http_server({file.name: content}) as server:
        assert obtain(file, tmp_path, [server.url]).read_bytes() == content
    assert (tmp_path / file.name).read_bytes() == digits
    assert "contains the digits of MNIST" in capsys.readouterr().err


@pytest.mark.parametrize("place", [".", "fashion-mnist"])
def test_a_file_that_is_too_large_is_refused_by_its_size_and_kept(tmp_path, labels, capsys, monkeypatch, place):
    """It is never read: 8 GB would fill the memory."""
    file, content = labels
    huge = tmp_path / place / file.name
    huge.parent.mkdir(exist_ok=True)
    with huge.open("wb") as sparse:
        sparse.truncate(8 << 30)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    with http_server({file.name: content}) as server:
        path = obtain(file, tmp_path, [server.url])
    monkeypatch.undo()
    assert path == tmp_path / "fashion-mnist" / file.name
    assert path.read_bytes() == content
    assert f"{huge} is too large (expected at most 20,008 bytes, got 8,589,934,592)" in capsys.readouterr().err
    kept = huge if place == "." else huge.with_name(f"{file.name}.damaged-8589934592-bytes")
    assert kept.stat().st_size == 8 << 30


# --- folders that cannot be written to ---


def test_a_folder_that_is_a_file_is_reported_in_one_sentence(tmp_path, labels):
    file, content = labels
    (tmp_path / "file").write_text("x")
    with http_server({file.name: content}) as server:
        with pytest.raises(FashionMNISTUnavailable, match=r"the folder .* cannot be written to \(Not a directory\)"):
            obtain(file, tmp_path / "file", [server.url])
        assert server.requested == []  # the error was raised before any download


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write to any folder")
def test_a_read_only_folder_is_reported_in_one_sentence(tmp_path, labels):
    file, content = labels
    tmp_path.chmod(0o500)
    try:
        with http_server({file.name: content}) as server:
            with pytest.raises(FashionMNISTUnavailable, match=r"cannot be written to \(Permission denied\)"):
                obtain(file, tmp_path, [server.url])
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/sys").exists(), reason="needs /proc/sys, which is always read-only")
def test_a_read_only_file_system_is_reported_in_one_sentence(labels):
    file, content = labels
    with http_server({file.name: content}) as server:
        with pytest.raises(FashionMNISTUnavailable, match="cannot be written to"):
            obtain(file, Path("/proc/sys/scratchnet"), [server.url])


DOWNLOAD = """
import sys
from pathlib import Path
from scratchnet.data.download import share
from scratchnet.data.fashion_mnist import File, FashionMNISTUnavailable, obtain
name, size, sha, idx_size, idx_sha, folder, *mirrors = sys.argv[1:]
try:
    obtain(File(name, int(size), sha, int(idx_size), idx_sha), Path(folder), share(mirrors))
except FashionMNISTUnavailable as error:
    sys.exit(str(error))
"""


def download_process(file, folder, *mirrors, before=""):
    fields = (file.name, file.size, file.sha256, file.idx_size, file.idx_sha256)
    return subprocess.Popen(
        [sys.executable, "-c", before + DOWNLOAD, *map(str, (*fields, folder, *mirrors))],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@alone
def test_a_full_disk_is_reported_in_one_sentence_and_leaves_nothing_behind(tmp_path, labels):
    """With a limit on the size of files, a write fails in its middle, as on a full disk."""
    file, content = labels
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    with http_server({file.name: content}) as server:
        process = download_process(file, tmp_path, server.url, before=limit)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{file.name} cannot be written (File too large): free some disk space or choose another folder" in stderr
    assert "Traceback" not in stderr
    assert files_in(tmp_path) == []


# --- how long it takes ---


def test_a_redirect_is_followed_without_reading_its_body(tmp_path, labels):
    """requests reads it whole, into memory: the server would send a gigabyte a second."""
    file, content = labels
    with http_server({file.name: content}, web.redirect_with_an_endless_body) as server:
        begun = time.monotonic()
        assert obtain(file, tmp_path, [server.url]).read_bytes() == content
    assert time.monotonic() - begun < 2
    assert len(server.requested) == 2


@pytest.mark.parametrize("behave", [web.never_answer, web.drip_a_header(b"HTTP/1.1 200 "), web.drip, web.answer(503)])
def test_all_mirrors_together_may_lose_so_many_seconds(tmp_path, labels, monkeypatch, behave):
    """Whatever they do, and however many they are, `auto` takes the stand-in after PATIENCE seconds at the latest."""
    file, content = labels
    monkeypatch.setattr(download, "PATIENCE", 1.5)
    monkeypatch.setattr(download, "PAUSE", 0.5)
    with http_server({file.name: content}, behave) as server:
        begun = time.monotonic()
        with pytest.raises(FashionMNISTUnavailable):
            obtain(file, tmp_path, [server.url, server.url + "a", server.url + "b"])
    assert time.monotonic() - begun < 1.5 + 0.3


def test_auto_is_given_thirty_seconds():
    assert download.PATIENCE <= 30


def test_a_mirror_that_delivers_is_asked_first_for_the_next_file(tmp_path, small, monkeypatch):
    """So a silent one is waited for once, and not for each of the four files."""
    monkeypatch.setattr(fashion_mnist, "FILES", tuple(file for file, _ in small))
    monkeypatch.setattr(download, "PATIENCE", 1.0)
    with http_server({}, web.never_answer) as silent, http_server({f.name: content for f, content in small}) as good:
        load(tmp_path, mirrors=[silent.url, good.url])
        assert set(silent.requested) == {small[0][0].name}
        assert good.requested == [file.name for file, _ in small]


def test_a_fast_download_may_take_longer_than_the_patience(tmp_path, labels, monkeypatch):
    """Only time in which less than SLOWEST bytes a second come is lost: a tenth of this one's."""
    file, content = labels
    monkeypatch.setattr(download, "PATIENCE", 0.4)
    monkeypatch.setattr(download, "SLOWEST", 4_000)
    with http_server({file.name: content}, web.trickle(seconds=1.2)) as server:
        begun = time.monotonic()
        assert obtain(file, tmp_path, [server.url]).read_bytes() == content
        assert time.monotonic() - begun > 1.0
        assert len(server.requested) == 1


def test_progress_is_told_line_by_line_where_there_is_no_terminal(tmp_path, labels, capsys, monkeypatch):
    file, content = labels
    monkeypatch.setattr(download, "REPORT", 0.2)
    with http_server({file.name: content}, web.trickle(seconds=0.7)) as server:
        obtain(file, tmp_path, [server.url])
    lines = [line for line in capsys.readouterr().err.splitlines() if "10,076 bytes" in line]
    assert 2 <= len(lines) <= 4
    assert all(re.fullmatch(rf"scratchnet: {file.name}: [\d,]+ of 10,076 bytes", line) for line in lines)


# --- several processes, and killed ones ---


def test_a_kill_in_the_middle_leaves_nothing_under_the_name_and_the_next_run_succeeds(tmp_path, labels):
    file, content = labels
    with http_server({file.name: content}, web.stall, web.serve) as server:
        process = download_process(file, tmp_path, server.url)
        while not server.requested:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        process.communicate()
        assert files_in(tmp_path) == []
        assert obtain(file, tmp_path, [server.url]).read_bytes() == content


@pytest.mark.parametrize("before", ["nothing", "a damaged file"])
def test_two_processes_at_once_do_no_harm(tmp_path, labels, before):
    file, content = labels
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    if before == "a damaged file":
        (folder / file.name).write_bytes(content[:1000])
    with http_server({file.name: content}, web.together(2)) as server:
        processes = [download_process(file, tmp_path, server.url) for _ in range(2)]
        assert [process.communicate(timeout=60)[1].count("Traceback") for process in processes] == [0, 0]
        assert [process.returncode for process in processes] == [0, 0]
        assert len(server.requested) == 2
    assert (folder / file.name).read_bytes() == content
    others = [path.read_bytes() for path in folder.iterdir() if path.name != file.name]
    assert others == ([content[:1000]] if before == "a damaged file" else [])


def test_the_file_exists_at_every_moment_while_a_damaged_one_is_replaced(tmp_path, labels, monkeypatch):
    """Another process may be about to open it."""
    file, content = labels
    path = tmp_path / "fashion-mnist" / file.name
    path.parent.mkdir()
    path.write_bytes(content[:1000])
    replace, present = os.replace, []

    def watched(source, target):
        present.append(path.exists())
        replace(source, target)
        present.append(path.exists())

    monkeypatch.setattr(os, "replace", watched)
    with http_server({file.name: content}) as server:
        obtain(file, tmp_path, [server.url])
    assert present == [True] * 4


# --- which folder is searched ---


def test_the_folder_is_the_argument_else_the_variable_else_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder(tmp_path / "argument") == tmp_path / "argument"
    assert data_folder("~/images") == Path.home() / "images"  # the shell leaves --data-dir=~/images as it is
    assert data_folder() == tmp_path / "variable"
    monkeypatch.delenv("SCRATCHNET_DATA")
    assert data_folder() == tmp_path / "cache" / "scratchnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == Path.home() / ".cache" / "scratchnet"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert data_folder() == Path.home() / "Library" / "Caches" / "scratchnet"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert data_folder() == tmp_path / "local" / "scratchnet"


@pytest.mark.parametrize("named_by", ["--data-dir", "SCRATCHNET_DATA"])
@pytest.mark.parametrize("kind", ["nothing", "a file"])
def test_a_folder_that_is_named_and_does_not_exist_is_refused_and_not_created(tmp_path, monkeypatch, named_by, kind):
    """It may be mistyped: a new folder there would hide that. "auto" does not take the stand-in instead."""
    folder = tmp_path / "mistyped"
    if kind == "a file":
        folder.write_text("")
    monkeypatch.setenv("SCRATCHNET_DATA", str(folder if named_by == "SCRATCHNET_DATA" else tmp_path))
    for name in ("auto", "fashion-mnist"):
        with pytest.raises(NoSuchFolder, match=f"there is no folder .*mistyped, named by {named_by}: check the path"):
            dataset.load(name, folder if named_by == "--data-dir" else None)
    assert folder.exists() == (kind == "a file")


def test_the_home_of_a_user_who_does_not_exist_is_refused_and_nothing_is_taken_instead():
    with pytest.raises(NoSuchFolder, match="there is no user whose home folder ~nobody-there/x could be"):
        dataset.load("auto", "~nobody-there/x")


def test_the_variable_scratchnet_mirror_replaces_the_mirrors(tmp_path, monkeypatch):
    with http_server({}, web.answer(404)) as one, http_server({}, web.answer(410)) as two:
        monkeypatch.setenv("SCRATCHNET_MIRROR", f"{one.url} {two.url.rstrip('/')}")
        with pytest.raises(FashionMNISTUnavailable) as raised:
            load(tmp_path)
        assert one.requested == two.requested == [FILES[0].name]
    message = str(raised.value)
    assert "answered 404" in message
    assert "answered 410" in message
    assert "--data-dir or in the environment variable SCRATCHNET_DATA" in message


def test_without_mirrors_no_request_is_made_and_no_folder_is_created(tmp_path):
    with pytest.raises(FashionMNISTUnavailable, match=r"no mirrors were given\."):
        load(tmp_path, mirrors=())
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("SCRATCHNET_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(FashionMNISTUnavailable, match="environment variable SCRATCHNET_DATA"):
        load(mirrors=())


# --- the four files together ---


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Four small files like the published ones: [(File, bytes)]."""
    folder = tmp_path_factory.mktemp("small")
    shapes = [(60, 28, 28), (60,), (10, 28, 28), (10,)]
    arrays = [np.full(shape, i, np.uint8) for i, shape in enumerate(shapes)]
    return [published(folder, file.name, array) for file, array in zip(FILES, arrays, strict=True)]


def test_the_four_arrays_come_in_order(tmp_path, monkeypatch, small):
    monkeypatch.setattr(fashion_mnist, "FILES", tuple(file for file, _ in small))
    with http_server({file.name: content for file, content in small}) as server:
        monkeypatch.setenv("SCRATCHNET_MIRROR", server.url)
        downloaded, found = load(tmp_path), load(tmp_path, mirrors=())
        assert len(server.requested) == 4
    assert [array.shape for array in downloaded] == [(60, 28, 28), (60,), (10, 28, 28), (10,)]
    assert [set(array.flat) for array in downloaded] == [{0}, {1}, {2}, {3}]
    assert all(np.array_equal(*pair) for pair in zip(downloaded, found, strict=True))


@pytest.mark.parametrize("unpacked", [False, True])
def test_intact_files_are_loaded_without_opening_a_socket_or_importing_requests(tmp_path, python, small, unpacked):
    """Call load() in a process that exits when a socket is opened."""
    for file, content in small:
        path = tmp_path / (file.idx_name if unpacked else file.name)
        path.write_bytes(gzip.decompress(content) if unpacked else content)
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): sys.exit('a socket was opened')\n"
        "socket.socket = refuse\n"
        "from scratchnet.data import fashion_mnist\n"
        "from scratchnet.data.fashion_mnist import File\n"
        f"fashion_mnist.FILES = {tuple(file for file, _ in small)}\n"
        "fashion_mnist.load()\n"
        "print('requests' in sys.modules)"
    )
    done = python("-c", code, SCRATCHNET_DATA=str(tmp_path))
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")


# --- the real files ---


@pytest.fixture(scope="session")
def real():
    """The contents of the four published files, if this machine has them."""
    folder = data_folder()
    try:
        return {file.name: obtain(file, folder, []).read_bytes() for file in FILES}
    except FashionMNISTUnavailable:
        pytest.skip("Fashion-MNIST is not on this machine: set SCRATCHNET_DATA to the folder of its four files")


def test_the_real_dataset_is_downloaded_whole(tmp_path, real):
    with http_server(real) as server:
        train_images, train_labels, test_images, test_labels = load(tmp_path, mirrors=[server.url])
    assert train_images.shape == (60000, 28, 28)
    assert test_images.shape == (10000, 28, 28)
    assert np.array_equal(np.bincount(train_labels), [6000] * 10)
    assert np.array_equal(np.bincount(test_labels), [1000] * 10)
    assert abs(train_images.mean() - 72.94) < 0.01


def test_the_hashes_of_the_idx_files_inside_are_right(real):
    for file in FILES:
        plain = gzip.decompress(real[file.name])
        assert (len(real[file.name]), len(plain)) == (file.size, file.idx_size)
        assert hashlib.sha256(plain).hexdigest() == file.idx_sha256


def test_the_real_images_are_not_mistaken_for_mnist(real):
    for file in FILES:
        assert not fashion_mnist._is_mnist(gzip.decompress(real[file.name]))
