#!/usr/bin/env python3
"""Makes data sets shaped like learned embeddings: gen128, gen768, gen384 and gen96, from a seed, in chunks.

    python3 bench/data/synthetic.py OUT_DIR gen128 gen768 gen384
    python3 bench/data/synthetic.py OUT_DIR gen96 [--npy] [--base N]

i.i.d. Gaussian rows would be a test of nothing: all are equally far from each other. Here a row is made so:

    z   a point of a mixture of clusters in `latent` dimensions; sizes follow a power law, each cluster has
        its own width and its own subset of directions that it is wide in
    h   tanh(gain * A z + b), `hidden` random features: the smooth, bent surface that a network's layer makes
    y   h W, W's columns decaying as j^-decay, plus Gaussian noise of `noise` times the spread of h W,
        decaying as j^-noise_decay, plus a common `mean` vector; then all of it turned by one random rotation
    x   y (l2), y / |y| (cosine), or y / |y| times a lognormal norm of sigma 0.15 (dot)

The numbers below are tuned so that the local intrinsic dimension that the queries measure is 12 to 15, where
real embeddings lie (Aumueller and Ceccarello 2021, table 1), and the spectrum decays. NAME.json has what was
measured. Chunk i depends on (seed, i) alone, so a set can be made in parts. Queries are a chunk of their own,
never in the base. Memory: chunks of 32,768 rows; the truth reads the base back in blocks.
"""

import argparse
import json
import os

import numpy as np

import vectors

CHUNK_ROWS = 32768
QUERY_CHUNK = 1 << 30
NORM_SIGMA = 0.15

SETS = {
    "gen128": dict(n=1000000, dim=128, metric="l2", latent=24, hidden=256, clusters=2000, spread=0.6,
                   gain=1.0, decay=0.15, noise=0.15, noise_decay=0.3, mean=0.0),
    "gen768": dict(n=200000, dim=768, metric="cosine", latent=24, hidden=768, clusters=1000, spread=0.5,
                   gain=1.5, decay=0.3, noise=0.2, noise_decay=0.3, mean=0.4),
    "gen384": dict(n=500000, dim=384, metric="dot", latent=24, hidden=512, clusters=1500, spread=0.45,
                   gain=1.2, decay=0.3, noise=0.2, noise_decay=0.3, mean=0.4),
    "gen96": dict(n=10000000, dim=96, metric="l2", latent=24, hidden=192, clusters=5000, spread=0.6,
                  gain=1.0, decay=0.15, noise=0.15, noise_decay=0.3, mean=0.0),
}  # fmt: skip


class Generator:
    """The fixed random parts of a set; `chunk` makes rows."""

    def __init__(self, shape, seed):
        self.shape, self.seed = shape, seed
        rng = np.random.default_rng([seed, 0])
        latent, hidden, dim, clusters = (shape[key] for key in ("latent", "hidden", "dim", "clusters"))
        self.centers = rng.standard_normal((clusters, latent), dtype=np.float32)
        weights = (1.0 + np.arange(clusters)) ** -0.7
        self.shares = np.cumsum(weights / weights.sum())
        widths = shape["spread"] * np.exp(0.25 * rng.standard_normal((clusters, 1)))
        self.widths = (widths * rng.choice([0.5, 1.0, 1.4], size=(clusters, latent))).astype(np.float32)
        self.features = (shape["gain"] / np.sqrt(latent) * rng.standard_normal((latent, hidden))).astype(
            np.float32
        )
        self.features *= np.sqrt(2)
        self.bias = (0.5 * rng.standard_normal(hidden)).astype(np.float32)
        rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
        columns = (1.0 + np.arange(dim)) ** -shape["decay"]
        self.weights = (rng.standard_normal((hidden, dim)) * columns @ rotation).astype(np.float32)
        noise_columns = (1.0 + np.arange(dim)) ** -shape["noise_decay"]
        self.noise = noise_columns[:, None] * rotation
        self.offset = np.zeros(dim, dtype=np.float32)

        sample = self.smooth(np.random.default_rng([seed, 1]), 8192)
        self.offset = -sample.mean(axis=0)
        spread = np.sqrt(sample.var(axis=0).sum())
        direction = rng.standard_normal(dim)
        self.offset += (shape["mean"] * spread * direction / np.linalg.norm(direction)).astype(np.float32)
        self.noise *= shape["noise"] * spread / np.sqrt(np.square(noise_columns).sum())
        self.noise = self.noise.astype(np.float32)

    def smooth(self, rng, rows):
        cluster = np.searchsorted(self.shares, rng.random(rows)).clip(max=len(self.shares) - 1)
        z = rng.standard_normal((rows, self.shape["latent"]), dtype=np.float32)
        z = self.centers[cluster] + z * self.widths[cluster]
        return np.tanh(z @ self.features + self.bias) @ self.weights + self.offset

    def chunk(self, index, rows):
        rng = np.random.default_rng([self.seed, 2, index])
        x = self.smooth(rng, rows)
        x += rng.standard_normal(x.shape, dtype=np.float32) @ self.noise
        if self.shape["metric"] == "l2":
            return x
        x = vectors.normalize(x)
        if self.shape["metric"] == "dot":
            x *= np.exp(NORM_SIGMA * rng.standard_normal((rows, 1), dtype=np.float32))
        return x


def write_npy(path, generator, n):
    out = np.lib.format.open_memmap(path, mode="w+", dtype="<f4", shape=(n, generator.shape["dim"]))
    for first in range(0, n, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, n - first)
        out[first : first + rows] = generator.chunk(first // CHUNK_ROWS, rows)
    out.flush()


def make(folder, name, shape, queries, seed, npy):
    generator = Generator(shape, seed)
    path = os.path.join(folder, name)
    with open(path + ".base.fvecs", "wb") as file:
        for first in range(0, shape["n"], CHUNK_ROWS):
            rows = min(CHUNK_ROWS, shape["n"] - first)
            vectors.append_vecs(file, generator.chunk(first // CHUNK_ROWS, rows))
    with open(path + ".query.fvecs", "wb") as file:
        vectors.append_vecs(file, generator.chunk(QUERY_CHUNK, queries))
    if npy:
        write_npy(path + ".base.npy", generator, shape["n"])
    about = {"made": "bench/data/synthetic.py, a clustered mixture through tanh features, see there"}
    about.update(shape=shape, seed=seed)
    print(json.dumps(vectors.finish(folder, name, shape["metric"], about)))


def main():
    parser = argparse.ArgumentParser(description="Makes data sets shaped like learned embeddings.")
    parser.add_argument("out_dir")
    parser.add_argument("names", nargs="+", choices=sorted(SETS))
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--base", type=int, default=0, help="rows, instead of the set's own number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--npy", action="store_true", help="write NAME.base.npy too")
    args = parser.parse_args()
    os.makedirs(args.out_dir, exist_ok=True)
    for name in args.names:
        shape = dict(SETS[name])
        shape["n"] = args.base or shape["n"]
        make(args.out_dir, name, shape, args.queries, args.seed, args.npy)


if __name__ == "__main__":
    main()
