#!/usr/bin/env python3
"""The same searches by what is at hand: PyTorch's matmul and topk (f16, f32 with TF32), torch._int_mm and topk, CuPy.

    baseline.py [--rows N] [--dim N] [--k N] [--batches 1,32,...] [--seconds S] [--csv FILE]

Rows and queries are those of gpu_bench, made by the same formula on the card (gpu/kernels/fill.cuh), so the sum of the first
query's labels agrees where ties do not stand in the way. Each baseline writes its matrix of scores, in as many pieces of rows as
that needs, and merges the pieces' top k. Lines: baseline,codec,batch,rows,dim,k,ms,method,sum of the first query's labels.
"""

import argparse
import sys
import time

SEED = 7
SCORES_BYTES = 4 << 30  # of a piece's scores
ROW_PIECE = 1 << 17     # rows made at a time


def mix(torch, x):
    x = x ^ (x >> 16)
    x = (x * 0x85EBCA6B) & 0xFFFFFFFF
    x = x ^ (x >> 13)
    x = (x * 0xC2B2AE35) & 0xFFFFFFFF
    return x ^ (x >> 16)


def numbers(torch, first, count, dim, seed):
    """[count][dim] whole numbers -510..510, as int64."""
    columns = mix(torch, torch.arange(dim, device="cuda", dtype=torch.int64) ^ seed)
    rows = (torch.arange(first, first + count, device="cuda", dtype=torch.int64) * 0x9E3779B9) & 0xFFFFFFFF
    h = mix(torch, (columns[None, :] + rows[:, None]) & 0xFFFFFFFF)
    return (h & 255) + ((h >> 8) & 255) + ((h >> 16) & 255) + (h >> 24) - 510


def convert(torch, x, codec, is_query):
    if codec == "int8":
        return torch.div(x, 4, rounding_mode="trunc").to(torch.int8)
    x = x.to(torch.float32) / 256
    if codec == "f16":
        return x.to(torch.float16)
    if not is_query:
        x = x + (torch.arange(x.shape[1], device="cuda") % 7).to(torch.float32) / 65536
    return x


def make(torch, count, dim, codec, seed, is_query=False):
    kind = {"f16": torch.float16, "f32": torch.float32, "int8": torch.int8}[codec]
    out = torch.empty((count, dim), device="cuda", dtype=kind)
    for first in range(0, count, ROW_PIECE):
        some = min(ROW_PIECE, count - first)
        out[first : first + some] = convert(torch, numbers(torch, first, some, dim, seed), codec, is_query)
    return out


def search(torch, rows, queries, k, product):
    piece = max(1024, SCORES_BYTES // (4 * queries.shape[0]))
    values, labels = [], []
    for first in range(0, rows.shape[0], piece):
        scores = product(queries, rows[first : first + piece])
        top = torch.topk(scores, min(k, scores.shape[1]), dim=1)
        values.append(top.values)
        labels.append(top.indices + first)
    values, labels = torch.cat(values, 1), torch.cat(labels, 1)
    top = torch.topk(values, k, dim=1)
    return labels.gather(1, top.indices)


def int8_product(torch):
    def product(queries, rows):
        padded = queries
        if queries.shape[0] <= 16:  # _int_mm wants more than 16 rows
            padded = torch.zeros((32, queries.shape[1]), device="cuda", dtype=torch.int8)
            padded[: queries.shape[0]] = queries
        count = rows.shape[0] // 8 * 8  # and a multiple of 8 columns
        scores = torch._int_mm(padded, rows[:count].t())[: queries.shape[0]]
        if count < rows.shape[0]:
            rest = (queries[:, None, :].int() * rows[count:][None, :, :].int()).sum(2).int()
            scores = torch.cat([scores, rest], 1)
        return scores

    return product


def median_ms(torch, run, seconds):
    run()
    torch.cuda.synchronize()
    times, until = [], time.time() + seconds
    while len(times) < 3 or (time.time() < until and len(times) < 100):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        out = run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
        if time.time() > until + 3 * seconds:
            break
    return sorted(times)[len(times) // 2], out


def cupy_search(rows, queries, k):
    import cupy

    piece = max(1024, SCORES_BYTES // (4 * queries.shape[0]))
    x, q = cupy.from_dlpack(rows), cupy.from_dlpack(queries)
    values, labels = [], []
    for first in range(0, x.shape[0], piece):
        scores = q @ x[first : first + piece].T
        top = cupy.argpartition(-scores, k, axis=1)[:, :k]
        values.append(cupy.take_along_axis(scores, top, 1))
        labels.append(top + first)
    values, labels = cupy.concatenate(values, 1), cupy.concatenate(labels, 1)
    order = cupy.argsort(-values, axis=1)[:, :k]
    return cupy.take_along_axis(labels, order, 1)


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--rows", type=int, default=10_000_000)
    ask.add_argument("--dim", type=int, default=768)
    ask.add_argument("--k", type=int, default=10)
    ask.add_argument("--batches", default="1,4,8,32,128,1024")
    ask.add_argument("--seconds", type=float, default=0.5)
    ask.add_argument("--csv")
    args = ask.parse_args()
    try:
        import torch
    except ImportError:
        print("skipped: no PyTorch")
        return 77
    if not torch.cuda.is_available():
        print("skipped: no CUDA")
        return 77
    torch.backends.cuda.matmul.allow_tf32 = True
    csv = open(args.csv, "w") if args.csv else sys.stdout
    for codec in ("f16", "int8", "f32"):
        try:
            rows = make(torch, args.rows, args.dim, codec, SEED)
        except torch.cuda.OutOfMemoryError:
            print(f"{codec}: does not fit", flush=True)
            continue
        for batch in map(int, args.batches.split(",")):
            queries = make(torch, batch, args.dim, codec, SEED + 1, True)
            product = int8_product(torch) if codec == "int8" else lambda q, x: q @ x.t()
            methods = {"torch": lambda: search(torch, rows, queries, args.k, product)}
            if codec == "f16" and batch <= 32:  # its argpartition sorts: seconds for more
                methods["cupy"] = lambda: cupy_search(rows, queries, args.k)
            for name, run in methods.items():
                try:
                    ms, labels = median_ms(torch, run, args.seconds)
                    line = f"{name},{codec},{batch},{args.rows},{args.dim},{args.k},{ms:.4f},{int(labels[0].sum())}"
                    print(line, file=csv, flush=True)
                except Exception as what:  # one baseline that cannot do it leaves the others
                    print(f"{name} {codec} batch {batch}: {type(what).__name__}: {str(what)[:200]}", file=sys.stderr, flush=True)
                torch.cuda.empty_cache()
        del rows
        torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
