"""kill -9 while a collection is recovered from a snapshot: after the start it is the old one or the new one, whole.

Usage: test_kill_recover.py PATH_TO_cairn [ROUNDS [SEED]]

Two snapshots of one collection, of points written as generation 1 and as generation 2, are recovered by turns. The server is killed at
any moment of it and started anew; then all points must be of one generation, and nothing may be left of what was not finished.
"""

import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from serving import Serving  # noqa: E402

POINTS = {1: 3000, 2: 2000}
DIM = 128
BASE = "/collections/t_recover"


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise AssertionError(f"{method} {path}: {answer.status} {content[:300]}")
    return json.loads(content)["result"]


def make_generation(port, generation, numbers):
    ask(port, "DELETE", BASE)
    ask(port, "PUT", BASE, {"vectors": {"size": DIM, "distance": "Dot"}})
    points = [{"id": i, "vector": [numbers.uniform(-1, 1) for _ in range(DIM)], "payload": {"generation": generation}}
              for i in range(POINTS[generation])]
    for at in range(0, len(points), 500):
        ask(port, "PUT", BASE + "/points", {"points": points[at:at + 500]})
    return ask(port, "POST", BASE + "/snapshots")["name"]


def generation_of(port):
    """Of all points, as counted, scrolled and searched."""
    points = ask(port, "POST", BASE + "/points/scroll", {"limit": 10000})["points"]
    generations = {point["payload"]["generation"] for point in points}
    hits = ask(port, "POST", BASE + "/points/query", {"query": [1.0] * DIM, "limit": 10000})["points"]
    count = ask(port, "POST", BASE + "/points/count", {})["count"]
    if len(generations) != 1 or not len(points) == len(hits) == count == POINTS[min(generations)]:
        raise AssertionError(f"generations {generations}, {len(points)} scrolled, {len(hits)} found, {count} counted")
    return generations.pop()


def check_nothing_left(cairn, data):
    stats = json.loads(subprocess.check_output([cairn, "stats", os.path.join(data, "memory.cairn"), "--json"]))
    names = [collection["name"] for collection in stats["collections"]]
    if names != ["t_recover"]:
        raise AssertionError(f"collections: {names}")
    for folder, _, files in os.walk(os.path.join(data, "snapshots")):
        if any(name.startswith(".part-") for name in files):
            raise AssertionError(f"left in {folder}: {files}")


def recover(port, snapshot, outcome):
    try:
        ask(port, "PUT", BASE + "/snapshots/recover", {"location": snapshot})
        outcome["answered"] = True
    except (OSError, http.client.HTTPException):
        pass  # it was killed
    except AssertionError as error:
        outcome["failure"] = error


def main():
    cairn = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    times = random.Random(seed)
    found = []
    with tempfile.TemporaryDirectory(prefix="cairn-kill-") as folder:
        server = Serving(cairn, folder).start()
        snapshots = {generation: make_generation(server.port, generation, times) for generation in (1, 2)}
        begin = time.monotonic()
        ask(server.port, "PUT", BASE + "/snapshots/recover", {"location": snapshots[1]})
        takes_s = time.monotonic() - begin
        present = generation_of(server.port)
        for _ in range(rounds):
            wanted, outcome = 3 - present, {}
            thread = threading.Thread(target=recover, args=[server.port, snapshots[wanted], outcome])
            thread.start()
            time.sleep(times.uniform(0, 1.2 * takes_s))  # the moment of the kill, not a wait for anything
            server.kill()
            thread.join()
            if "failure" in outcome:
                raise outcome["failure"]
            server.start()
            now = generation_of(server.port)
            if "answered" in outcome and now != wanted:
                raise AssertionError(f"answered, but generation {now} is there")
            check_nothing_left(cairn, os.path.join(folder, "data"))
            found.append("new" if now == wanted else "old")
            present = now
        if server.end() != 0:
            raise AssertionError("the server ended badly")
    print(f"{rounds} kills: {found.count('old')} times the old one, {found.count('new')} times the new one")


if __name__ == "__main__":
    main()
