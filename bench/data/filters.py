#!/usr/bin/env python3
"""Makes filters over a data set and the truth behind each.

    python3 bench/data/filters.py DATA_DIR NAME [--percent 50,10,1,0.1] [--seed 1]

NAME.filterP.bits has a bit for each row, the lowest of a byte first: set for P percent of the rows, taken at
random, which is the case that a graph cannot have prepared for. NAME.filterP.gt.ivecs are the 10 nearest of
these rows (-1 where there are fewer).
"""

import argparse
import os

import numpy as np

import vectors

K = 10


def make(path, base, queries, metric, percent, seed):
    rng = np.random.default_rng([seed, int(percent * 1000)])
    count = max(1, round(len(base) * percent / 100))
    matching = np.sort(rng.choice(len(base), count, replace=False))
    bits = np.zeros(len(base), dtype=bool)
    bits[matching] = True
    np.packbits(bits, bitorder="little").tofile(f"{path}.filter{percent:g}.bits")
    found = vectors.nearest(base, queries, metric, min(K, count), among=bits)[0]
    truth = np.full((len(queries), K), -1, dtype=np.int32)
    truth[:, : found.shape[1]] = found
    with open(f"{path}.filter{percent:g}.gt.ivecs", "wb") as file:
        vectors.append_vecs(file, truth)


def main():
    parser = argparse.ArgumentParser(description="Makes filters over a data set and the truth behind each.")
    parser.add_argument("data_dir")
    parser.add_argument("name")
    parser.add_argument("--percent", default="50,10,1,0.1")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    path = os.path.join(args.data_dir, args.name)
    base, queries = vectors.open_fvecs(path + ".base.fvecs"), vectors.open_fvecs(path + ".query.fvecs")
    metric = vectors.read_facts(path)["metric"]
    for percent in args.percent.split(","):
        make(path, base, queries, metric, float(percent), args.seed)


if __name__ == "__main__":
    main()
