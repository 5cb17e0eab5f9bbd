"""scripts/play.py: its messages without a browser, and the page in a real one."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import barriers, chromium, console, emulate, phone, requests
from conftest import LAUNCHER, ROOT

from scratchnet.lab.experiment import train_stack

sys.path.insert(0, str(ROOT / "scripts"))  # as a script has it
from playground import session as sessions
from playground.presets import presets
from playground.server import BODY, TABS, Playground
from playground.session import Session
from playground.setting import Refused, read
from playground.training import Training

SMALL = {"depth": "2", "width": "16", "taper": "no"}
IMAGES = 2_000


@contextmanager
def played(dataset, ignore="", **streams):
    """play.py as a person starts it in a shell: (process, address)."""
    command = [sys.executable, "-c", LAUNCHER, ignore, "scripts/play.py", "--no-browser", "--dataset", dataset]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", **streams
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def data(request):
    """The first images of whatever this machine has."""
    return request.getfixturevalue("dataset").first(IMAGES)


@pytest.fixture
def server(data):
    import threading

    with Playground() as server:
        server.dataset = data
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()
        for one in server.sessions.values():
            one.ask("close")


def send(address, method="POST", name="", body=b"{}", **headers):
    """(status, answer, headers) of one request; a header of None is left out."""
    where = urlsplit(address)
    sent = {"Host": where.netloc, "Origin": f"http://{where.netloc}"} | headers
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=20)
    connection.putrequest(method, where.path + name, skip_host=True, skip_accept_encoding=True)
    sent = {"Content-Length": str(len(body))} | sent if method == "POST" else sent
    for key, value in sent.items():
        if value is not None:
            connection.putheader(key.replace("_", "-"), value)
    connection.endheaders(body if method == "POST" else None)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text, dict(answer.getheaders())


def ask(server, name, **message):
    status, text, _ = send(server.address, name=name, body=json.dumps(message).encode())
    return status, json.loads(text)


def opened(server, **settings):
    status, found = ask(server, "open", **({"A": SMALL} | settings))
    assert status == 200, found
    return found["session"], found


def until_still(server, session):
    """The frame in which the session has paused."""
    for _ in range(400):
        _, found = ask(server, "frame", session=session)
        if not found["running"]:
            return found
        time.sleep(0.02)
    raise AssertionError("it never pauses")


# --- the numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"initialization": "lsuv", "activation": "tanh", "optimizer": "momentum", "learning_rate": "0.01"},
        {"initialization": "torch_linear", "normalization": "batch", "dropout": "0.5", "batch_size": "30"},
        {"initialization": "uniform", "arguments": "low=-0.5,high=0.5", "depth": "4"},
    ],
)
def test_the_curve_is_that_of_a_comparison_to_the_last_bit(fields, data):
    setting = read(SMALL | fields, "A", 784, 10)
    (run,) = train_stack([setting.arm], [3], data.images, data.labels, setting.settings)
    training = Training(setting, 3, data)
    for _ in run.training_loss:
        training.step()
    assert np.array_equal(training.losses, run.training_loss)
    training.judge()
    assert training.judged[-1] == (len(run.training_loss), run.validation_accuracy)  # of 400 images, all of them


def test_rewind_gives_the_same_weights_and_the_same_curve_again(server):
    session, first = opened(server, B=SMALL | {"initialization": "he_normal"}, seed=7)
    ask(server, "step", session=session, steps=30)
    one = until_still(server, session)
    _, back = ask(server, "rewind", session=session)
    assert back["A"]["done"] == 0 and back["A"]["losses"] == []
    ask(server, "step", session=session, steps=30)
    other = until_still(server, session)
    for side in "AB":
        assert back[side]["weights"] == first[side]["weights"] != one[side]["weights"]
        assert one[side]["losses"] == other[side]["losses"] and len(one[side]["losses"]) == 30
        assert one[side]["judged"] == other[side]["judged"]
        assert one[side]["weights"] == other[side]["weights"]


def test_looking_changes_nothing(data):
    fields = SMALL | {"normalization": "batch"}
    curves = []
    for looked in (False, True):
        session = Session(data)
        session.ask("set", A=fields)
        for _ in range(12 if looked else 1):
            session.ask("step", steps=1 if looked else 12)
        while session.ask("frame")["running"]:
            time.sleep(0.01)
        curves.append(session.ask("frame")["A"]["losses"])
        session.ask("close")
    assert curves[0] == curves[1] and len(curves[0]) == 12


def test_equal_settings_have_equal_curves_and_the_page_says_so(server):
    session, found = opened(server, B=SMALL)
    assert (found["differs"], found["A"]["start"]) == (0, found["B"]["start"])
    _, found = ask(server, "step", session=session, steps=1)
    assert found["A"]["losses"] == found["B"]["losses"]


@pytest.mark.parametrize(
    ("change", "count", "words"),
    [
        ({"initialization": "zeros"}, 1, "one thing: the initialization (zeros instead of rule_normal)"),
        ({"learning_rate": "0.1"}, 1, "They share the seed, the same initial weights, the same images for training"),
        ({"dropout": "0"}, 1, "one of them draws no dropout masks"),
        ({"width": "8"}, 1, "which their own shapes cut differently"),
        ({"batch_size": "50"}, 1, "a step of one is not a step of the other"),
        ({"depth": "3", "activation": "tanh"}, 2, "cannot say which of them is the cause"),
    ],
)
def test_the_page_says_what_differs(change, count, words, server):
    _, found = opened(server, B=SMALL | change)
    assert found["differs"] == count
    assert words in found["difference"]


def test_a_diverged_training_says_so_and_stops_while_the_other_goes_on(server):
    wild = SMALL | {"optimizer": "sgd", "learning_rate": "1000", "activation": "identity"}
    session, _ = opened(server, A=wild, B=SMALL)
    ask(server, "step", session=session, steps=40)
    found = until_still(server, session)
    assert found["A"]["diverged"] and found["A"]["losses"][-1] is None and found["A"]["done"] < 40
    assert found["A"]["told"]["loss"].startswith("Diverged")
    assert not found["B"]["diverged"] and found["B"]["done"] == 40


def test_every_preset_can_be_trained_and_is_told_in_words(data):
    for preset in presets():
        session = Session(data)
        session.ask("set", A=preset["A"], B=preset["B"])
        found = session.ask("step", steps=1)
        assert found["differs"] == 1, preset["name"]
        for side in "AB":
            assert found[side]["done"] == 1 and all(found[side]["told"].values())
        session.ask("close")


def test_units_that_are_equal_are_called_so(server):
    _, found = opened(server, A=SMALL | {"initialization": "ones"})
    assert "Layer 1 has 16 units, and 1 distinct" in found["A"]["told"]["units"]
    assert found["A"]["layers"][0]["words"][0] == "symmetric"


# --- who may ask, and for what ----------------------------------------------------------------------------------------


def test_without_the_token_or_from_elsewhere_nothing_is_answered(server):
    host = f"127.0.0.1:{server.server_port}"
    for path in ("/", "/play.js", f"/{server.token[:-1]}/", f"/{server.token}x/facts", "//", "/é/"):
        assert send(f"http://{host}{path}".replace("é", "%C3%A9"), "GET")[0] == 404
    assert send(server.address, "GET", Host="evil.example")[0] == 403
    assert send(server.address, "GET", Host=None)[0] == 403
    for origin in (None, "null", "http://evil.example", f"https://{host}"):
        assert send(server.address, name="open", Origin=origin)[0] == 403
    assert send(server.address, "GET", "../scripts/cli.py")[0] == 404
    assert not server.sessions


def test_the_page_may_load_nothing_from_elsewhere(server):
    status, text, headers = send(server.address, "GET")
    assert status == 200 and b"playground" in text
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize(
    ("fields", "sentence", "field"),
    [
        ({"depth": "51"}, "A, number of hidden layers: expected an integer from 0 to 50, got '51'", "A.depth"),
        ({"width": "-1"}, "A, width: expected an integer from 1 to 1,000, got '-1'", "A.width"),
        ({"depth": "50", "width": "1000"}, "and one may take 400 MB here", "A.width"),
        ({"dropout": "1"}, "A, dropout: expected a probability, 0 ≤ p < 1, got '1'", "A.dropout"),
        ({"learning_rate": "nan"}, "A, learning rate: expected a number > 0, got 'nan'", "A.learning_rate"),
        ({"learning_rate": [1]}, "expected a text or a number, got list", "A.learning_rate"),
        ({"activation": "/etc/passwd"}, "expected one of identity, relu", "A.activation"),
        ({"initialization": "my.py:f"}, "expected one of zeros", "A.initialization"),
        ({"initialization": "orthogonal", "arguments": "gian=2"}, "has no argument 'gian'", "A.arguments"),
        ({"initialization": "constant", "arguments": "value='x'"}, "constant:value=x cannot start", ""),
        ({"initialization": "edge_of_chaos", "activation": "gelu"}, "cannot start this network", ""),
        ({"normalization": "batch", "batch_size": "1"}, "a batch of at least two", "A.batch_size"),
        ({"colour": "red"}, "there is no field 'colour'", ""),
    ],
)
def test_nonsense_is_refused_in_one_sentence(fields, sentence, field, server):
    status, found = ask(server, "open", A=SMALL | fields)
    assert status == 400 and sentence in found["error"] and found["field"] == field
    assert "Traceback" not in found["error"] and "\n" not in found["error"]
    assert not server.sessions


def test_messages_that_are_none_are_refused(server):
    session, before = opened(server)
    for name, message, status in [
        ("nothing", {}, 404),
        ("step", {"session": session, "steps": 0}, 400),
        ("step", {"session": session, "steps": 1e300}, 400),
        ("start", {"session": session, "pace": ["full"]}, 400),
        ("start", {"session": session, "speed": 1}, 400),
        ("set", {"session": session, "seed": -1}, 400),
        ("set", {"session": session, "A": "zeros"}, 400),
        ("frame", {"session": 5}, 400),
        ("frame", {"session": "x"}, 410),
        ("_work", {"session": session}, 404),
        ("ask", {"session": session}, 404),
    ]:
        assert ask(server, name, **message)[0] == status, (name, message)
    for body, length, status in [
        (b"[1]", None, 400),
        (b"{", None, 400),
        (b"[" * 9000, None, 400),
        (b"\xff", None, 400),
        (b"{}", str(BODY + 1), 413),
        (b"{}", "9" * 400, 413),
        (b"{}", "-2", 411),
    ]:
        headers = {"Content-Length": length} if length else {}
        assert send(server.address, name="open", body=body, **headers)[0] == status, (body[:9], length)
    assert ask(server, "frame", session=session)[1]["A"] == before["A"]  # nothing of it has changed anything


# --- tabs -------------------------------------------------------------------------------------------------------------


def test_each_tab_has_a_session_of_its_own_and_there_are_only_so_many(server):
    names = [opened(server, seed=i)[0] for i in range(TABS)]
    ask(server, "step", session=names[0])
    assert ask(server, "frame", session=names[1])[1]["A"]["done"] == 0
    status, found = ask(server, "open", A=SMALL)
    assert status == 400 and "close one of them" in found["error"]
    assert ask(server, "close", session=names[0])[0] == 200
    assert ask(server, "frame", session=names[0])[0] == 410
    opened(server)


def test_a_tab_that_is_gone_stops_training_and_gives_its_place_to_the_next(server, monkeypatch):
    monkeypatch.setattr(sessions, "SILENCE", 0.3)
    monkeypatch.setattr("playground.server.SILENCE", 0.3)
    names = [opened(server)[0] for _ in range(TABS)]
    for name in names:
        ask(server, "start", session=name)
    time.sleep(0.6)
    found = ask(server, "frame", session=names[-1])[1]
    assert not found["running"] and found["why"].startswith("Paused") and found["A"]["done"] > 0
    opened(server)
    assert len(server.sessions) == TABS and names[-1] in server.sessions


def test_no_session_is_computing_when_the_server_has_closed(data):
    """Python crashes now and then, once in a thousand kills, where it ends with a thread in the middle of NumPy."""
    with Playground() as server:
        server.dataset = data
        for _ in range(2):
            server.open(A=SMALL | {"depth": "20"})
        running = list(server.sessions.values())
        for session in running:
            session.ask("start")
    assert len(running) == 2 and all(session.ended for session in running)


def test_a_session_that_nobody_asks_for_ends(data, monkeypatch):
    monkeypatch.setattr(sessions, "FORGOTTEN", 0.1)
    session = Session(data)
    for _ in range(100):
        if session.ended:
            break
        time.sleep(0.05)
    with pytest.raises(Refused, match="has ended"):
        session.ask("frame")


# --- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize(("number", "ignore"), [(signal.SIGINT, ""), (signal.SIGTERM, "SIGINT")])
def test_a_signal_ends_everything_at_once_in_the_middle_of_training(number, ignore, dataset):
    with played(dataset.name, ignore, start_new_session=True) as (process, address):
        deep = SMALL | {"depth": "20", "width": "100"}
        _, text, _ = send(address, name="open", body=json.dumps({"A": deep, "B": deep}).encode())
        session = json.loads(text)["session"]
        send(address, name="start", body=json.dumps({"session": session}).encode())
        began = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=10)
        assert time.monotonic() - began < 3
        assert process.returncode == 128 + number and "Traceback" not in said
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(address).port)) != 0
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


def test_a_port_in_use_is_told_in_one_sentence_before_images_are_looked_for(python, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = ("--dataset", "fashion-mnist", "--data-dir", tmp_path, "--port", taken.getsockname()[1])
        done = python("scripts/play.py", "--no-browser", *where)
    assert done.returncode == 1 and "give another --port" in done.stderr and "Traceback" not in done.stderr
    assert python("scripts/play.py", "--port", "70000").returncode == 2


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_in_a_browser(server, tmp_path):
    By = pytest.importorskip("selenium.webdriver.common.by", reason="selenium is not installed").By
    from selenium.webdriver.common.keys import Keys

    def wait(condition):
        for _ in range(200):
            if found := condition():
                return found
            time.sleep(0.05)
        raise AssertionError(page.find_element(By.ID, "status").text)

    def one(name):
        return page.find_element(By.ID, name)

    def status():
        return one("status").text

    with chromium(tmp_path / "profile") as page:
        page.get(server.address)
        wait(lambda: "step 0" in status())
        first = status()
        assert "zeros" in one("difference").text
        one("train").send_keys(Keys.ENTER)  # by the keyboard
        wait(lambda: one("train").text == "Pause" and "A: step 0" not in status())
        one("train").send_keys(Keys.SPACE)
        wait(lambda: one("train").text == "Train")
        assert "weights" in status() and "a blind guess" in one("loss-B").text
        one("rewind").click()
        wait(lambda: status() == first)  # the same weights
        page.find_element(By.CSS_SELECTOR, "[data-steps='10']").click()
        wait(lambda: "A: step 10 " in status() and "B: step 10 " in status())

        def pressed(key):
            one("loss").send_keys(key)
            return one("loss-value").text

        wait(lambda: pressed(Keys.HOME).startswith("step 1: A 2.3, B "))
        assert not pressed(Keys.ARROW_RIGHT).startswith("step 1: ")  # a twentieth of the longest curve

        rate = one("B.learning_rate")  # change one thing
        rate.clear()
        rate.send_keys("nonsense", Keys.TAB)
        wait(lambda: "expected a number > 0, got 'nonsense'" in one("error").text)
        assert rate.get_attribute("aria-invalid") == "true"
        rate.clear()
        rate.send_keys("0.01", Keys.TAB)
        wait(lambda: "2 things" in one("difference").text and not one("error").is_displayed())
        one("with-b").click()
        wait(lambda: "B: step" not in status() and one("layers").text.count("A: zeros") == 1)
        wait(lambda: "Only A" in one("difference").text)
        page.find_element(By.XPATH, "//button[text()='Twenty layers']").click()
        wait(lambda: "he_normal" in one("difference").text)

        phone(page)
        assert page.execute_script("return document.documentElement.scrollWidth <= 360 && innerWidth <= 360")
        for theme in ("light", "dark"):
            emulate(page, theme=theme)
            assert barriers(page) == []
        assert [message for message in console(page) if "favicon" not in message and "400" not in message] == []
        assert {url for url in requests(page) if not url.startswith(server.address)} == set()
        one("train").click()
        wait(lambda: one("train").text == "Pause")
        page.get("about:blank")  # closed in the middle: the page says so, or else it is missed after a while
        for _ in range(300):
            if not any(session._running for session in list(server.sessions.values())):
                break
            time.sleep(0.05)
        assert not any(session._running for session in server.sessions.values())
