"""A web server on the loopback interface that can misbehave in every way that mirrors are known to."""

import gzip
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        name = self.path.rsplit("/", 1)[-1]
        server.requested.append(name)
        behave = server.behaviours[min(len(server.requested), len(server.behaviours)) - 1]
        with suppress(BrokenPipeError, ConnectionResetError):  # the client closed the connection
            behave(self, server.files.get(name))
        self.close_connection = True

    def start(self, status=200, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *args):
        pass


def serve(handler, content):
    if content is None:
        handler.start(404, 0)
    else:
        handler.start(200, len(content))
        handler.wfile.write(content)


def answer(status):
    return lambda handler, content: handler.start(status, 0)


def say(body):
    def behave(handler, content):
        handler.start(200, len(body))
        handler.wfile.write(body)

    return behave


def truncate(handler, content):
    """Announce the full length, send half of the content and close the connection."""
    handler.start(200, len(content))
    handler.wfile.write(content[: len(content) // 2])


def truncate_without_length(handler, content):
    handler.start(200)
    handler.wfile.write(content[: len(content) // 2])


def stall(handler, content):
    """Send half of the content and then nothing, and keep the connection open."""
    handler.start(200, len(content))
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.server.released.wait(30)


def never_answer(handler, content):
    handler.server.released.wait(30)


def drip(handler, content):
    handler.start(200, len(content))
    for byte in content:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.server.released.wait(0.02):
            return


def trickle(seconds):
    """Send the file evenly over so many seconds."""

    def behave(handler, content):
        handler.start(200, len(content))
        for part in range(50):
            handler.wfile.write(content[part * len(content) // 50 : (part + 1) * len(content) // 50])
            handler.wfile.flush()
            time.sleep(seconds / 50)

    return behave


def flood(handler, content):
    """Send bytes without end, and announce no length."""
    handler.start(200)
    while not handler.server.released.is_set():
        handler.wfile.write(bytes(1 << 16))


def label_as_gzip(handler, content):
    """Send the file as it is with the header `Content-Encoding: gzip`, as some web servers do for names in .gz."""
    handler.start(200, len(content), Content_Encoding="gzip", Content_Type="application/octet-stream")
    handler.wfile.write(content)


def pack(handler, content):
    """Compress the file once more for the transfer, although the client asked for none (`identity`)."""
    packed = gzip.compress(content)
    handler.start(200, len(packed), Content_Encoding="gzip")
    handler.wfile.write(packed)


def send_chunks(handler, content):
    handler.start(200, Transfer_Encoding="chunked")
    for i in range(0, len(content), 3000):
        chunk = content[i : i + 3000]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    handler.wfile.write(b"0\r\n\r\n")


def promise_less(handler, content):
    """Announce a length that is shorter than the content."""
    handler.start(200, len(content) // 2)
    handler.wfile.write(content)


def redirect(handler, content):
    if "elsewhere" in handler.path:
        serve(handler, content)
    else:
        handler.start(302, 0, Location="/elsewhere" + handler.path)


def lead_to(location):
    """A redirect to this address, of which the first byte of the body never comes."""

    def behave(handler, content):
        handler.start(302, 10, Location=location)
        handler.server.released.wait(30)

    return behave


def redirect_with_an_endless_body(handler, content):
    if "elsewhere" in handler.path:
        serve(handler, content)
        return
    handler.start(302, Location="/elsewhere" + handler.path)
    while not handler.server.released.is_set():
        handler.wfile.write(bytes(1 << 16))


def drip_a_header(start):
    """Send `start`, and then one byte of a header again and again: no time-out of a socket ever ends that."""

    def behave(handler, content):
        handler.wfile.write(start)
        while not handler.server.released.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return behave


def continue_without_end(handler, content):
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        handler.wfile.flush()


def speak(line):
    """Answer with this status line."""

    def behave(handler, content):
        handler.wfile.write(line + b"\r\nContent-Length: 0\r\n\r\n")

    return behave


def together(clients):
    """Answer only when `clients` requests have arrived, so that their downloads overlap however slowly they start."""

    def behave(handler, content):
        deadline = time.monotonic() + 60
        while len(handler.server.requested) < clients and time.monotonic() < deadline:
            time.sleep(0.01)
        serve(handler, content)

    return behave


@contextmanager
def http_server(files, *behaviours):
    """Serve `files` (name → bytes). Request i is answered by behaviour i, and all later requests by the last one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.files, server.behaviours = files, behaviours or (serve,)
    server.requested, server.released = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
