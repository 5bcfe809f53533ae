#!/usr/bin/env python3
"""Makes a data set of real text: latent semantic analysis of the descriptions of Debian's packages.

    python3 bench/data/text.py OUT_DIR [--name text256] [--dim 256] [--base 60000] [--queries 2000] [--seed 1]

The catalogue is fetched with apt's own list download into a cache folder (apt's lists on this system when
that fails, which may hold the one-line descriptions only) and read by examples/packages.awk, as
examples/demo.sh does. Words and word pairs are weighted by TF-IDF, a randomized truncated SVD (Halko et al.
2011) keeps `dim` directions, and rows are normalized: cosine. The SVD is fitted to the base alone; the
queries are other packages, which it has never seen.

    python3 bench/data/text.py OUT_DIR --name text384 --dim 384 --cairn build/release/libcairn.so

makes the same set with Cairn's built-in embedder, cairn-ngram-1, in place of the analysis.

Needs numpy, scipy and scikit-learn (bench/data/requirements.txt).
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys

import numpy as np

import vectors

HERE = os.path.dirname(os.path.abspath(__file__))
AWK = os.path.join(HERE, "..", "..", "examples", "packages.awk")
SYSTEM_LISTS = "/var/lib/apt/lists"


def fetch(cache):
    """The folder of apt's lists with the long descriptions, downloaded once into the cache folder."""
    lists = os.path.join(cache, "lists")
    if not any("_Translation-en" in name for name in os.listdir(lists) if os.path.isdir(lists)):
        os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
        options = ["-o", f"Dir::State::Lists={lists}", "-o", "Acquire::Languages=en"]
        subprocess.run(["apt-get", "-qq", *options, "update"], check=False)
    return lists if any("_Packages" in name for name in os.listdir(lists)) else SYSTEM_LISTS


def paragraphs(lists):
    """The lists' text in packages.awk's order: translations, then packages."""
    for ending in ("_Translation-en", "_Packages"):
        for name in sorted(os.listdir(lists)):
            if name.endswith(ending) or ending + "." in name:
                path = os.path.join(lists, name)
                yield subprocess.run(
                    ["/usr/lib/apt/apt-helper", "cat-file", path], check=True, capture_output=True
                ).stdout
                yield b"\n"


def catalogue(cache):
    """[(name, text)] of all packages, by name."""
    found = subprocess.run(
        ["awk", "-f", AWK], input=b"".join(paragraphs(fetch(cache))), check=True, capture_output=True
    )
    records = (json.loads(line) for line in found.stdout.decode("utf-8", "replace").splitlines())
    return sorted((record["id"], record["text"]) for record in records)


def embed(base_texts, query_texts, dim, seed):
    """LSA vectors of both lists, and a line that says how."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(
        ngram_range=(1, 2), min_df=3, max_df=0.3, max_features=120000, sublinear_tf=True, dtype=np.float32
    )
    base = words.fit_transform(base_texts)
    svd = TruncatedSVD(dim, algorithm="randomized", n_iter=4, random_state=seed)
    low = svd.fit_transform(base)
    how = f"TF-IDF of {base.shape[1]} words and word pairs, randomized truncated SVD to {dim}, normalized"
    return vectors.normalize(low), vectors.normalize(svd.transform(words.transform(query_texts))), how


class Embedder(ctypes.Structure):
    """The head of struct cairn_embedder (include/cairn/embed.h)."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("ctx", ctypes.c_void_p),
        ("model", ctypes.c_char_p),
        ("dim", ctypes.c_uint32),
        (
            "embed",
            ctypes.CFUNCTYPE(
                ctypes.c_int,
                ctypes.c_void_p,
                ctypes.POINTER(ctypes.c_char_p),
                ctypes.c_size_t,
                ctypes.POINTER(ctypes.c_float),
                ctypes.c_void_p,
            ),
        ),
    ]


def embed_with_cairn(library, texts, dim):
    """The texts' vectors by Cairn's built-in embedder, normalized, and a line that says so."""
    cairn = ctypes.CDLL(os.path.abspath(library))
    made = ctypes.POINTER(Embedder)()
    if cairn.cairn_embedder_ngram(ctypes.c_uint32(dim), ctypes.byref(made), None) != 0:
        sys.exit(f"{library}: no built-in embedder of {dim} dims")
    embedder = made.contents
    out = np.empty((len(texts), dim), dtype=np.float32)
    strings = (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))
    floats = out.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    if embedder.embed(embedder.ctx, strings, len(texts), floats, None) != 0:
        sys.exit(f"{library}: the embedder failed")
    how = f"Cairn's built-in embedder {embedder.model.decode()} to {dim}, normalized"
    cairn.cairn_embedder_free(made)
    return vectors.normalize(out), how


def main():
    parser = argparse.ArgumentParser(
        description="Makes a data set from the descriptions of Debian's packages."
    )
    parser.add_argument("out_dir")
    parser.add_argument("--name", default="text256")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--base", type=int, default=60000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--cairn", metavar="LIBCAIRN", help="the shared library to embed with, instead of LSA"
    )
    parser.add_argument("--cache", default=os.path.expanduser("~/.cache/cairn-bench"))
    args = parser.parse_args()

    os.makedirs(args.out_dir, exist_ok=True)
    os.makedirs(os.path.join(args.cache, "lists"), exist_ok=True)
    packages = catalogue(args.cache)
    if len(packages) < args.base + args.queries:
        sys.exit(f"the catalogue has {len(packages)} packages, {args.base + args.queries} are asked for")
    order = np.random.default_rng(args.seed).permutation(len(packages))[: args.base + args.queries]
    texts = [packages[i][1] for i in order]
    if args.cairn:
        rows, how = embed_with_cairn(args.cairn, texts, args.dim)
        base, queries = rows[: args.base], rows[args.base :]
    else:
        base, queries, how = embed(texts[: args.base], texts[args.base :], args.dim, args.seed)
    for kind, rows in (("base", base), ("query", queries)):
        with open(os.path.join(args.out_dir, f"{args.name}.{kind}.fvecs"), "wb") as file:
            vectors.append_vecs(file, rows)
    about = {
        "made": "descriptions of Debian's packages: " + how,
        "packages": len(packages),
        "seed": args.seed,
    }
    print(json.dumps(vectors.finish(args.out_dir, args.name, "cosine", about)))


if __name__ == "__main__":
    main()
