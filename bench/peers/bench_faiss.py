#!/usr/bin/env python3
"""FAISS over a data set: builds an index into the cache, or sweeps its settings; one thread, all queries in one call.

    bench_faiss.py build|search DATA_DIR NAME CFG CACHE_DIR
    bench_faiss.py list

CFG is a key of CONFIGS. Graphs are built with efConstruction 200. hnsw32-sq8 takes the graph of hnsw32, which
was built over exact distances, and keeps the vectors as bytes: better than a graph built over the bytes, and
built once. flat-single is flat, asked one query a call: then FAISS cannot multiply matrices.
"""

import sys
import time

import faiss
import numpy as np

import measure

EF_CONSTRUCTION = 200
EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
NPROBES = (2, 4, 8, 16, 32, 64, 128, 256)


def lists(n):
    """4 sqrt(n), as FAISS's guidelines have it."""
    return int(4 * n**0.5) // 16 * 16


# What makes the index of n rows of d numbers, and the refine factors to sweep over (None: it refines nothing).
CONFIGS = {
    "flat": (lambda n, d: "Flat", None),
    "flat-single": (lambda n, d: "Flat", None),
    "hnsw32": (lambda n, d: "HNSW32,Flat", None),
    "hnsw32-sq8": (lambda n, d: "HNSW32,SQ8", None),
    "ivfpq-d2": (lambda n, d: f"OPQ{d // 2},IVF{lists(n)},PQ{d // 2}x4fs,RFlat", (2, 4, 10, 25)),
    "ivfpq-d4": (lambda n, d: f"OPQ{d // 4},IVF{lists(n)},PQ{d // 4}x4fs,RFlat", (4, 10, 25, 60)),
    "rabitq": (lambda n, d: f"RR{d},IVF{lists(n)},RaBitQfs,RFlat", (4, 10, 25, 60)),
    "rabitq4": (lambda n, d: f"RR{d},IVF{lists(n)},RaBitQ4", None),
}


def is_flat(cfg):
    return cfg.startswith("flat")


def is_graph(cfg):
    return cfg.startswith("hnsw")


def metric_of(data):
    return faiss.METRIC_L2 if data.metric == "l2" else faiss.METRIC_INNER_PRODUCT


def bytes_over_graph(data, rows, graph_path):
    """The graph of a built index over byte codes of the same rows."""
    graph = faiss.read_index(graph_path)
    out = faiss.IndexHNSWSQ(data.dim, faiss.ScalarQuantizer.QT_8bit, 32, metric_of(data))
    out.storage.train(rows)
    out.storage.add(rows)
    out.hnsw = graph.hnsw
    out.ntotal = data.n
    out.is_trained = True
    return out


def shorten_training(index):
    """Fewer rounds of k-means and OPQ than the defaults, over 96 rows a list: minutes less."""
    index = faiss.downcast_index(getattr(index, "base_index", index))
    clustering = faiss.extract_index_ivf(index).cp
    clustering.niter = 12
    clustering.max_points_per_centroid = 96
    clustering.seed = 1
    if isinstance(index, faiss.IndexPreTransform):
        transform = faiss.downcast_VectorTransform(index.chain.at(0))
        if isinstance(transform, faiss.OPQMatrix):
            transform.niter, transform.niter_pq, transform.niter_pq_0 = 10, 3, 15
            transform.max_train_points = 32768


def make(data, cfg, cache):
    rows = data.rows()
    if cfg == "hnsw32-sq8":
        return bytes_over_graph(data, rows, measure.Built(cache, data.name, "faiss", "hnsw32").path)
    index = faiss.index_factory(data.dim, CONFIGS[cfg][0](data.n, data.dim), metric_of(data))
    if is_graph(cfg):
        index.hnsw.efConstruction = EF_CONSTRUCTION
    elif not is_flat(cfg):
        shorten_training(index)
    index.train(rows)
    index.add(rows)
    return index


def build(data, cfg, cache):
    built = measure.Built(cache, data.name, "faiss", cfg)
    if built.is_there():
        return
    if cfg == "hnsw32-sq8":
        build(data, "hnsw32", cache)
    start = time.process_time()
    index = make(data, cfg, cache)
    cpu_s = time.process_time() - start
    if cfg == "hnsw32-sq8":
        cpu_s += measure.Built(cache, data.name, "faiss", "hnsw32").facts()["build_s"]
    faiss.write_index(index, built.path)
    built.record(data.n, cpu_s, factory=CONFIGS[cfg][0](data.n, data.dim))


def settings(cfg):
    """Lists of settings to sweep; a list ends early when the recall is there."""
    refine = CONFIGS[cfg][1]
    if is_flat(cfg):
        return [[{}]]
    if is_graph(cfg):
        return [[{"ef": ef} for ef in EFS]]
    if refine is None:
        return [[{"nprobe": nprobe} for nprobe in NPROBES]]
    return [[{"nprobe": nprobe, "k_factor": factor} for nprobe in NPROBES] for factor in refine]


def applied(index, line):
    """Yields each setting of a list, the index being set so."""
    space = faiss.ParameterSpace()
    for setting in line:
        for name, value in setting.items():
            space.set_index_parameter(
                index, {"ef": "efSearch", "k_factor": "k_factor_rf"}.get(name, name), value
            )
        yield setting


def sweep(data, cfg, cache):
    built = measure.Built(cache, data.name, "faiss", cfg)
    index = faiss.read_index(built.path)
    faiss.omp_set_num_threads(1)
    ask = lambda queries: index.search(queries, measure.K)[1]
    if cfg == "flat-single":
        ask = lambda queries: np.vstack([index.search(query[np.newaxis], measure.K)[1] for query in queries])
    for line in settings(cfg):
        points = applied(index, line)
        measure.sweep("faiss", cfg, built.facts(), data, data.queries, ask, points)


def main():
    if sys.argv[1:] == ["list"]:
        print(" ".join(CONFIGS))
        return
    what, folder, name, cfg, cache = sys.argv[1:]
    np.random.seed(1)
    {"build": build, "search": sweep}[what](measure.DataSet(folder, name), cfg, cache)


if __name__ == "__main__":
    main()
