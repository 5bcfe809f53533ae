"""How long a server is away when it is started anew: from exec to the first answered search with the right results.

Usage: restart.py CAIRN FOLDER COLLECTION QUERIES.fvecs TRUTH.ivecs [TIMES]

FOLDER/memory.cairn holds the collection, with the rows of the base file named by their numbers, as `cairn import
FOLDER/memory.cairn BASE.fvecs -c COLLECTION` leaves it. Each start is a process of its own; --cold drops the database's files
from the page cache before each.
"""

import http.client
import json
import os
import struct
import subprocess
import sys
import time


def row(path, number):
    with open(path, "rb") as file:
        dim = struct.unpack("<i", file.read(4))[0]
        file.seek(number * (4 + 4 * dim) + 4)
        return file.read(4 * dim)


def drop_from_cache(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            file = os.open(os.path.join(parent, name), os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def search(port, collection, vector):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", f"/cairn/v1/collections/{collection}/search?k=10", vector, {"content-type": "application/octet-stream"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        sys.exit(f"restart.py: collection {collection}: {answer.status} {body.decode()}")
    hits = json.loads(body)["hits"]
    return [int(str(hit["id"])) for hit in hits]


def main():
    arguments = [a for a in sys.argv[1:] if a != "--cold"]
    cairn, folder, collection, queries, truth = arguments[:5]
    times = int(arguments[5]) if len(arguments) > 5 else 5
    for number in range(times):
        if "--cold" in sys.argv:
            drop_from_cache(folder)
        vector = row(queries, number)
        right = struct.unpack("<10i", row(truth, number)[:40])
        begin = time.monotonic()
        server = subprocess.Popen([cairn, "serve", "--data", folder, "--port", "0", "--no-access-log"], stderr=subprocess.PIPE, text=True)
        try:
            port = json.loads(server.stderr.readline())["port"]
            ready = time.monotonic()
            hits = search(port, collection, vector)
            answered = time.monotonic()
            again = search(port, collection, vector)
        except BaseException:
            server.kill()
            raise
        print(f"ready after {ready - begin:.3f} s, the first search answered after {answered - begin:.3f} s, "
              f"{len(set(hits) & set(right))} of 10 right; the second took {time.monotonic() - answered:.4f} s")
        assert hits == again
        server.terminate()
        server.stderr.read()
        server.wait()


main()
