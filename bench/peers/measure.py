"""What the Python peers share: a data set in memory, the cache of built indexes, how a search is timed."""

import json
import os
import sys
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "data"))

import curve  # noqa: E402
import vectors  # noqa: E402

K = 10
PASSES = 3
PASSES_S = 0.4
ENOUGH = 0.995
SLOW_S = 3.0


class DataSet:
    """NAME's queries, truth and metric; the base is mapped, and copied by whom needs it."""

    def __init__(self, folder, name):
        path = os.path.join(folder, name)
        self.metric = vectors.read_facts(path)["metric"]
        self.name = name
        self.base = vectors.open_fvecs(path + ".base.fvecs")
        self.queries = np.ascontiguousarray(vectors.open_fvecs(path + ".query.fvecs"))
        self.truth = vectors.open_ivecs(path + ".gt.ivecs")[:, :K].tolist()
        self.n, self.dim = self.base.shape

    def rows(self):
        return np.ascontiguousarray(self.base)


class Built:
    """The file of a built index and, beside it, what its build took."""

    def __init__(self, cache, name, lib, cfg):
        os.makedirs(cache, exist_ok=True)
        self.path = os.path.join(cache, f"{name}.{lib}.{cfg}.index")

    def is_there(self):
        return os.path.exists(self.path + ".json")

    def record(self, n, cpu_s, **more):
        facts = {
            "build_s": round(cpu_s, 1),
            "bytes_per_vector": round(os.path.getsize(self.path) / n, 1),
            **more,
        }
        with open(self.path + ".json", "w", encoding="utf-8") as file:
            json.dump(facts, file)

    def facts(self):
        with open(self.path + ".json", encoding="utf-8") as file:
            return json.load(file)


def search(ask, queries, truth):
    """(recall, queries a second) of ask(queries) -> [n][K] rows.

    One pass warms and gives the recall; then passes until there are PASSES and PASSES_S;
    the median pass counts.
    """
    answers = ask(queries)
    taken = []
    while len(taken) < PASSES or sum(taken) < PASSES_S:
        start = time.perf_counter()
        ask(queries)
        taken.append(time.perf_counter() - start)
    right = curve.recall(np.asarray(answers).tolist(), truth, K)
    return round(right, 5), round(len(queries) / sorted(taken)[len(taken) // 2], 1)


def sweep(lib, cfg, facts, data, queries, ask, settings):
    """Measures and prints point after point, until one has the recall, gains none, or takes SLOW_S a pass.

    `settings` yields what describes each point, having applied it to the index.
    """
    last = -1.0
    for setting in settings:
        recall, qps = search(ask, queries, data.truth)
        report(lib, cfg, facts, setting, (recall, qps))
        if recall >= ENOUGH or recall < last + 0.0005 or len(queries) / qps > SLOW_S:
            break
        last = recall


def report(lib, cfg, facts, setting, found):
    """Prints a point of a curve."""
    point = {"lib": lib, "cfg": cfg, **facts, **setting, "recall": found[0], "qps": found[1]}
    print(json.dumps(point), flush=True)
