"""kill -9 under write load: several connections write points over HTTP, the server is killed, started anew and asked.

Usage: test_kill.py PATH_TO_cairn [ROUNDS [SEED]]

Each connection writes points of its own and notes what was answered. After the start a point must be as the last answered
write left it; the one write that a connection was waiting for may be there or not. The folder lives through all rounds.
"""

import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from serving import Serving  # noqa: E402

CONNECTIONS = 4
POINTS_OF_ONE = 150  # of a connection: few, so that they are written over and deleted
DIM = 8
BASE = "/collections/t_kill"


def vector(number):
    return [float((number * (i + 3)) % 101 - 50) for i in range(DIM)]


def ask(connection, method, path, body=None):
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise AssertionError(f"{method} {path}: {answer.status} {content[:300]}")
    return json.loads(content)["result"]


class Writer:
    """One connection; `points` are {id: number} as answered, `unsure` what its last request would have made of them."""

    def __init__(self, which, seed):
        self.ids = range(which * POINTS_OF_ONE, (which + 1) * POINTS_OF_ONE)
        self.random = random.Random(f"{seed} {which}")
        self.points, self.unsure, self.answered, self.number = {}, {}, 0, which
        self.failure = None

    def request(self):
        """A method, a path, a body, and what becomes of which points."""
        some = self.random.sample(self.ids, self.random.choice([1, 1, 3, 40]))
        kind = self.random.random()
        if kind < 0.15:
            return "POST", "/points/delete", {"points": some}, {i: None for i in some}
        if kind < 0.3 and any(i in self.points for i in some):
            there = [i for i in some if i in self.points]
            self.number += CONNECTIONS
            payload = {"payload": {"n": self.number, "v": self.points[there[0]][1]}, "points": there[:1]}
            return "PUT", "/points/payload", payload, {there[0]: (self.number, self.points[there[0]][1])}
        points, becomes = [], {}
        for i in some:
            self.number += CONNECTIONS
            points.append({"id": i, "vector": vector(self.number), "payload": {"n": self.number, "v": self.number}})
            becomes[i] = (self.number, self.number)
        return "PUT", f"/points?wait={self.random.choice(['true', 'false'])}", {"points": points}, becomes

    def run(self, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            while True:
                method, path, body, self.unsure = self.request()
                ask(connection, method, BASE + path, body)
                self.settle(self.unsure)
                self.answered += 1
        except (OSError, http.client.HTTPException):
            pass  # it was killed
        except AssertionError as error:
            self.failure = error

    def settle(self, changes):
        for i, number in changes.items():
            if number is None:
                self.points.pop(i, None)
            else:
                self.points[i] = number
        self.unsure = {}


def check(writer, found):
    """What was read must be as answered, or all of the unanswered request."""
    seen = {i: found[i] for i in writer.ids if i in found}
    after = {i: n for i, n in {**writer.points, **writer.unsure}.items() if n is not None}
    if seen == after:
        writer.settle(writer.unsure)
        return
    writer.unsure = {}
    if seen == writer.points:
        return
    wrong = {i: (writer.points.get(i), seen.get(i)) for i in writer.ids if writer.points.get(i) != seen.get(i)}
    raise AssertionError(f"answered and read differ: {dict(list(wrong.items())[:5])}, {len(wrong)} in all")


def read_all(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found, offset = {}, None
    while True:
        page = ask(connection, "POST", BASE + "/points/scroll", {"limit": 97, "offset": offset, "with_vector": True})
        for point in page["points"]:
            n, v = point["payload"]["n"], point["payload"]["v"]
            if point["vector"] != vector(v):
                raise AssertionError(f"point {point['id']} has another's vector: {point}")
            found[point["id"]] = (n, v)
        offset = page["next_page_offset"]
        if offset is None:
            break
    count = ask(connection, "POST", BASE + "/points/count", {})["count"]
    hits = ask(connection, "POST", BASE + "/points/query", {"query": vector(1), "limit": 10000})["points"]
    if not len(found) == count == len(hits):
        raise AssertionError(f"{len(found)} scrolled, {count} counted, {len(hits)} found")
    connection.close()
    return found


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    times = random.Random(seed)
    writers = [Writer(which, seed) for which in range(CONNECTIONS)]
    with tempfile.TemporaryDirectory(prefix="cairn-kill-") as folder:
        server = Serving(sys.argv[1], folder).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        ask(connection, "PUT", BASE, {"vectors": {"size": DIM, "distance": "Euclid"}})
        connection.close()
        for _ in range(rounds):
            threads = [threading.Thread(target=writer.run, args=[server.port]) for writer in writers]
            for thread in threads:
                thread.start()
            time.sleep(times.uniform(0.05, 1))  # the moment of the kill, not a wait for anything
            server.kill()
            for thread in threads:
                thread.join()
            for writer in writers:
                if writer.failure:
                    raise writer.failure
            server.start()
            found = read_all(server.port)
            for writer in writers:
                check(writer, found)
        if server.end() != 0:
            raise AssertionError("the server ended badly")
    print(f"{rounds} kills, {sum(writer.answered for writer in writers)} answered writes")
    if sum(writer.answered for writer in writers) == 0:
        raise AssertionError("nothing was written")


if __name__ == "__main__":
    main()
