"""Vector files as the benchmarks share them, and what is measured of a data set before anybody searches it.

A data set NAME is four files in one folder:

    NAME.base.fvecs    the rows to index: little-endian, each an i32 dim and dim f32 (TEXMEX's format)
    NAME.query.fvecs   the queries, never rows of the base
    NAME.gt.ivecs      the 100 nearest rows of each query, nearest first, as i32 behind an i32 count
    NAME.json          metric, sizes, how it was made, the seed and what was measured

NAME.done appears last, empty: the set is whole. Functions hold a block of the base in memory, not all of it.
"""

import json
import os

import numpy as np

GT_K = 100
BLOCK_BYTES = 32 << 20


def open_fvecs(path):
    """The rows of a .fvecs file as a read-only [n][dim] f32 view of the mapped file."""
    dim = int(np.fromfile(path, dtype="<i4", count=1)[0])
    return np.memmap(path, dtype="<f4", mode="r").reshape(-1, dim + 1)[:, 1:]


def open_ivecs(path):
    """The rows of an .ivecs file as a read-only [n][count] i32 view of the mapped file."""
    count = int(np.fromfile(path, dtype="<i4", count=1)[0])
    return np.memmap(path, dtype="<i4", mode="r").reshape(-1, count + 1)[:, 1:]


def append_vecs(file, rows):
    """Appends [n][dim] rows of four-byte numbers to an open .fvecs or .ivecs file."""
    kind = "<f4" if rows.dtype.kind == "f" else "<i4"
    framed = np.empty((rows.shape[0], rows.shape[1] + 1), dtype=kind)
    framed[:, 1:] = rows
    framed.view("<i4")[:, 0] = rows.shape[1]
    framed.tofile(file)


def normalize(rows):
    """Rows divided by their norms, as f32. A zero row stays zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return (rows / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32)


def blocks(rows):
    """Yields (first, block) over the rows, blocks being contiguous f32 copies of about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // (4 * rows.shape[1]))
    for first in range(0, rows.shape[0], step):
        yield first, np.ascontiguousarray(rows[first : first + step], dtype=np.float32)


def rough_scores(queries, block, metric):
    """f32 scores, lower is nearer: -x.q, or |x|^2 - 2 x.q whose order is that of the distance."""
    scores = queries @ block.T
    if metric == "l2":
        scores *= -2
        scores += np.einsum("ij,ij->i", block, block)
    else:
        np.negative(scores, out=scores)
    return scores


def exact_scores(query, rows, metric):
    """f64 scores of a few rows for one query, lower is nearer: squared distance or negated product."""
    rows = rows.astype(np.float64)
    query = query.astype(np.float64)
    if metric == "l2":
        return np.square(rows - query).sum(axis=1)
    return -(rows @ query)


def nearest(base, queries, metric, k=GT_K, among=None):
    """The k nearest rows of each query: ([n][k] i32, [n][k] f64 scores), equal scores by lower row.

    f32 products pick twice as many candidates as are asked for, and f64 ranks these: an f32 rounding error
    would have to move a row by k ranks to lose it. `among`, a mask of the rows, leaves the others out.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    n, keep = len(queries), 2 * k
    best = np.full((n, keep), np.inf, dtype=np.float32)
    rows = np.full((n, keep), -1, dtype=np.int64)
    for first, block in blocks(base):
        ids = np.arange(first, first + len(block))
        if among is not None:
            block, ids = block[among[ids]], ids[among[ids]]
        for at in range(0, n if len(ids) else 0, 256):
            part = slice(at, at + 256)
            scores = rough_scores(queries[part], block, metric)
            take = min(keep, scores.shape[1])
            found = np.argpartition(scores, take - 1, axis=1)[:, :take]
            both = np.hstack([best[part], np.take_along_axis(scores, found, 1)])
            which = np.hstack([rows[part], ids[found]])
            order = np.argpartition(both, keep - 1, axis=1)[:, :keep]
            best[part] = np.take_along_axis(both, order, 1)
            rows[part] = np.take_along_axis(which, order, 1)
    out_rows = np.empty((n, k), dtype=np.int32)
    out_scores = np.empty((n, k))
    for q in range(n):
        ids = np.sort(rows[q][rows[q] >= 0])
        scores = exact_scores(queries[q], base[ids], metric)
        order = np.argsort(scores, kind="stable")[:k]
        out_rows[q], out_scores[q] = ids[order], scores[order]
    return out_rows, out_scores


def local_dimension(squared_distances):
    """The maximum-likelihood local intrinsic dimension of each query, from squared distances to its nearest.

    Levina and Bickel 2004, eq. 8; Amsaleg et al. 2015, section 4. Rows equal to the query are left out.
    """
    out = []
    for row in squared_distances:
        row = np.sqrt(row[row > 1e-12])
        if len(row) > 2 and row[-1] > row[0]:
            out.append(-1 / np.mean(np.log(row[:-1] / row[-1])))
    return np.array(out)


def spectrum(rows):
    """Shares of the variance: {"top_16": .., ...} of the rows' principal components, cumulative."""
    rows = rows.astype(np.float64)
    rows = rows - rows.mean(axis=0)
    values = np.linalg.eigvalsh(rows.T @ rows)[::-1]
    shares = np.cumsum(values) / values.sum()
    counts = [1, 4, 16, 32, 64, 96, 128, 192, 256, 384, 512]
    return {f"top_{c}": round(float(shares[c - 1]), 4) for c in counts if c <= len(shares)}


def read_facts(path):
    """What NAME.json says, path being that of NAME without an ending."""
    with open(path + ".json", encoding="utf-8") as file:
        return json.load(file)


def finish(folder, name, metric, about):
    """Computes and writes the truth of a set whose base and queries are there; NAME.json and NAME.done too."""
    path = os.path.join(folder, name)
    base, queries = open_fvecs(path + ".base.fvecs"), open_fvecs(path + ".query.fvecs")
    rows, scores = nearest(base, queries, metric)
    with open(path + ".gt.ivecs", "wb") as file:
        append_vecs(file, rows)

    if metric == "l2":
        squared = scores
    elif metric == "cosine":
        squared = 2 + 2 * scores
    else:
        squared = nearest(base, queries[:500], "l2")[1]
    lid = local_dimension(squared)
    sample = base[:: max(1, len(base) // 20000)]
    facts = {
        "name": name,
        "metric": metric,
        "n": len(base),
        "dim": base.shape[1],
        "queries": len(queries),
        "gt_k": GT_K,
        "lid_median": round(float(np.median(lid)), 2),
        "lid_p10": round(float(np.percentile(lid, 10)), 2),
        "lid_p90": round(float(np.percentile(lid, 90)), 2),
        "lid_how": "maximum likelihood over the 100 nearest by Euclidean distance, on the queries",
        "variance": spectrum(np.asarray(sample)),
        **about,
    }
    with open(path + ".json", "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    open(path + ".done", "wb").close()
    return facts
