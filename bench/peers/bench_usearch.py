#!/usr/bin/env python3
"""USearch over a data set: builds an index into the cache, or sweeps ef, one thread, all queries in one call.

    bench_usearch.py build|search DATA_DIR NAME f16|i8 CACHE_DIR
    bench_usearch.py list

Connectivity 16, expansion 200 while adding. For i8 the bytes are made here, with one scale for the whole set
that the 0.9999 quantile of |x| maps to 127: USearch's own conversion scales each vector to length 127, which
leaves a 768-d row some 9 levels a component, and would be no fair peer.
"""

import os
import sys
import time

import numpy as np
from usearch.index import Index

import measure

METRICS = {"l2": "l2sq", "cosine": "cos", "dot": "ip"}
EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)


def numbers(data, cfg, rows):
    if cfg == "f16":
        return rows.astype(np.float16)
    scale = 127 / np.quantile(np.abs(data.base[:: max(1, data.n // 20000)]), 0.9999)
    return np.clip(np.rint(rows * scale), -127, 127).astype(np.int8)


def empty(data, cfg):
    return Index(ndim=data.dim, metric=METRICS[data.metric], dtype=cfg, connectivity=16, expansion_add=200)


def build(data, cfg, cache, threads):
    built = measure.Built(cache, data.name, "usearch", cfg)
    if built.is_there():
        return
    rows = numbers(data, cfg, data.rows())
    start = time.process_time()
    index = empty(data, cfg)
    index.add(np.arange(data.n, dtype=np.uint64), rows, threads=threads)
    cpu_s = time.process_time() - start
    index.save(built.path)
    built.record(data.n, cpu_s, kernels=str(index.hardware_acceleration))


def applied(index):
    for ef in EFS:
        index.expansion_search = ef
        yield {"ef": ef}


def sweep(data, cfg, cache):
    built = measure.Built(cache, data.name, "usearch", cfg)
    index = empty(data, cfg)
    index.load(built.path)
    queries = numbers(data, cfg, data.queries)
    ask = lambda rows: index.search(rows, measure.K, threads=1).keys.astype(np.int64)
    measure.sweep("usearch", cfg, built.facts(), data, queries, ask, applied(index))


def main():
    if sys.argv[1:] == ["list"]:
        print("f16 i8")
        return
    what, folder, name, cfg, cache = sys.argv[1:]
    data = measure.DataSet(folder, name)
    if what == "build":
        build(data, cfg, cache, threads=os.cpu_count())
    else:
        sweep(data, cfg, cache)


if __name__ == "__main__":
    main()
