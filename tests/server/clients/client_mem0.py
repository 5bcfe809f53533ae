#!/usr/bin/env python3
"""mem0, with a stand-in for its embedding model and no use of a language model: memories are kept as they are given.

client_mem0.py URL write|read
"""

import atexit
import base64
import http.server
import json
import os
import shutil
import struct
import sys
import tempfile
import threading

FOLDER = tempfile.mkdtemp(prefix="cairn-mem0-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=FOLDER, OPENAI_API_KEY="none is used")

from mem0 import Memory  # noqa: E402

from words import DIM, embed  # noqa: E402


class Model(http.server.BaseHTTPRequestHandler):
    """OpenAI's embeddings interface, as far as its client uses it."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = []
        for i, text in enumerate(texts):
            vector = embed(text)
            if body.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{DIM}f", *vector)).decode()
            data.append({"object": "embedding", "index": i, "embedding": vector})
        content = json.dumps({"object": "list", "data": data, "model": "words", "usage": {"prompt_tokens": 1, "total_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def open_memory(url):
    model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{model.server_port}"
    return Memory.from_config({
        "vector_store": {"provider": "qdrant", "config": {"url": url, "collection_name": "t_mem0", "embedding_model_dims": DIM}},
        "embedder": {"provider": "openai", "config": {"model": "words", "embedding_dims": DIM, "openai_base_url": base}},
        "llm": {"provider": "openai", "config": {"openai_base_url": base}},
        "history_db_path": os.path.join(FOLDER, "history.db"),
    })


def texts(answer):
    return [one["memory"] for one in answer["results"]]


def check(memory):
    found = memory.search("which cat sleeps", filters={"user_id": "ann"}, top_k=1)
    assert texts(found) == ["the cat sleeps on the mat"], found
    everything = memory.get_all(filters={"user_id": "ann"})
    assert sorted(texts(everything)) == ["a dog walks in the park", "the cat sleeps on the mat"], everything
    assert texts(memory.get_all(filters={"user_id": "bob"})) == ["cairns mark the path"]


def write(url):
    memory = open_memory(url)
    ids = {}
    for user, text in [("ann", "the cat sleeps on the mat"), ("ann", "a dog runs in the park"), ("ann", "to be deleted"), ("bob", "cairns mark the path")]:
        ids[text] = memory.add(text, user_id=user, infer=False)["results"][0]["id"]
    memory.update(ids["a dog runs in the park"], "a dog walks in the park")
    memory.delete(ids["to be deleted"])
    assert memory.get(ids["a dog runs in the park"])["memory"] == "a dog walks in the park"
    check(memory)


def read(url):
    check(open_memory(url))


{"write": write, "read": read}[sys.argv[2]](sys.argv[1])
