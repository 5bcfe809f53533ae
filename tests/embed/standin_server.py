#!/usr/bin/env python3
"""A stand-in for an embeddings endpoint, for the tests of net/ and embed/.

    standin_server.py [certificate.pem]     with a certificate (and its key) it speaks TLS

Prints its port as the first line and serves until its standard input ends. POST /<behaviour>/<anything>
answers as the behaviour says; each whole path is counted for itself. GET /count/<path> tells the requests to a path,
GET /largest/<path> the texts of its largest request, GET /connections the connections made so far.

Every request is checked first: one that is not what the OpenAI documentation asks for gets a 400.
"""

import email.utils
import http.server
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time

DIM = 8
KEY = "sk-secret-1"


def embedding(text, dim=DIM):
    """What test_openai.c expects: exact in f32, different for different texts."""
    data = text.encode()
    return [float(len(data)), float(sum(data) % 997)] + [j / 8 for j in range(2, dim)]


class Path:
    def __init__(self):
        self.count = 0
        self.largest = 0
        self.last_time = 0.0


paths = {}
connections = 0
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer leaves in one piece

    def setup(self):
        global connections
        super().setup()
        with lock:
            connections += 1

    def log_message(self, *args):
        pass

    def send(self, status, body, **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        what, _, rest = self.path[1:].partition("/")
        with lock:
            path = paths.get("/" + rest, Path())
            answers = {"count": path.count, "largest": path.largest, "connections": connections}
        if what == "redirect":
            self.send(302, b"", Location="/connections")
        else:
            self.send(200, answers.get(what, self.path))

    def complaint(self, request):
        if self.headers.get("Content-Type") != "application/json":
            return "the content type is not JSON"
        if self.headers.get("Expect"):
            return "an expectation"
        if set(request) != {"model", "input", "encoding_format"} or request["encoding_format"] != "float":
            return f"odd members: {sorted(request)}"
        if not all(isinstance(text, str) for text in request["input"]) or not request["input"]:
            return "the input is no list of texts"
        return None

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        complaint = self.complaint(request)
        if complaint:
            self.send(400, {"error": {"message": complaint}})
            return
        with lock:
            path = paths.setdefault(self.path, Path())
            path.count += 1
            path.largest = max(path.largest, len(request["input"]))
            count, since = path.count, time.monotonic() - path.last_time
            path.last_time = time.monotonic()
        behaviour = getattr(self, self.path.split("/")[1], None)
        if behaviour is None:
            self.send(404, {"error": {"message": "no such path"}})
        else:
            behaviour(request["input"], count, since)

    # ---- behaviours: the texts, the how-manieth request of the path, seconds since the one before ----

    def data(self, texts):
        return [{"object": "embedding", "index": i, "embedding": embedding(t)} for i, t in enumerate(texts)]

    def answer(self, data):
        self.send(200, {"object": "list", "data": data, "model": "m", "usage": {"total_tokens": 1}})

    def ok(self, texts, count, since):
        self.answer(self.data(texts))

    def shuffled(self, texts, count, since):
        self.answer(self.data(texts)[::-1])

    def key(self, texts, count, since):
        if self.headers.get("Authorization") == "Bearer " + KEY:
            self.ok(texts, count, since)
        else:
            given = self.headers.get("Authorization", "none")
            self.send(401, {"error": {"message": f"Incorrect API key provided: {given}.", "code": "bad"}})

    def too_few(self, texts, count, since):
        self.answer(self.data(texts)[1:])

    def too_many(self, texts, count, since):
        self.answer(self.data(texts + ["x"]))

    def twice(self, texts, count, since):
        self.answer(self.data(texts[1:]) + self.data(texts[:1]))

    def wrong_dim(self, texts, count, since):
        data = self.data(texts)
        data[-1]["embedding"].append(1.0)
        self.answer(data)

    def nan(self, texts, count, since):
        data = self.data(texts)
        data[0]["embedding"][3] = float("nan")  # Python writes it as NaN
        self.answer(data)

    def broken_json(self, texts, count, since):
        self.send(200, json.dumps({"data": self.data(texts)})[:-5].encode())

    def huge(self, texts, count, since):
        self.send(200, b" " * (64 << 20))

    def reset_by_peer(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def reset(self, texts, count, since):
        self.reset_by_peer()

    def reset_once(self, texts, count, since):
        if count == 1:
            self.reset_by_peer()
        else:
            self.ok(texts, count, since)

    def limited(self, texts, count, since):
        """429 and a second's wait; whoever comes sooner is refused for good."""
        if count == 1:
            self.send(429, {"error": {"message": "slow down"}}, Retry_After="1")
        elif since < 1:
            self.send(400, {"error": {"message": "came too early"}})
        else:
            self.ok(texts, count, since)

    def limited_date(self, texts, count, since):
        self.send(429, b"", Retry_After=email.utils.formatdate(time.time() + 1800, usegmt=True))

    def limited_long(self, texts, count, since):
        self.send(429, {"error": "out of quota"}, Retry_After="3600")

    def fails_thrice(self, texts, count, since):
        if count <= 3:
            self.send(500, b"<h1>oops</h1>\n<p>later</p>")
        else:
            self.ok(texts, count, since)

    def fails(self, texts, count, since):
        self.send(503, {"message": "overloaded"})

    def hang(self, texts, count, since):
        time.sleep(30)

    def drip(self, texts, count, since):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(300):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.1)

    def moved(self, texts, count, since):
        self.send(307, b"", Location="/ok/moved")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what is tested


def main():
    server = Server(("127.0.0.1", 0), Handler)
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
