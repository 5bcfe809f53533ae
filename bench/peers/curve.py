#!/usr/bin/env python3
"""Curves of recall against queries a second: recall of answers, the speed at a recall, and tables of it.

    python3 bench/peers/curve.py RESULTS.jsonl [--cairn CAIRN.jsonl] [--at 0.9,0.95,0.99]

A results file has one JSON object a line, one for each measured point: "lib" and "cfg" name a curve, "recall"
and "qps" are the point; "build_s" (CPU seconds of the build), "bytes_per_vector" and "filter" (percent of the
rows that match, absent when all do) belong to the curve; "ef", "nprobe" and "k_factor" say how the point was set,
and a setting that was measured several times counts with its medians; whatever else is there is carried along.
Only the standard library is used here.
"""

import argparse
import json
import math
import statistics

TARGETS = (0.90, 0.95, 0.99)
SETTINGS = ("ef", "nprobe", "k_factor")


def recall(found, truth, k):
    """The share of the true k nearest rows that were found, over all queries; rows of -1 are no answer.

    A query whose truth has fewer than k rows (a filter that few rows match) counts those that it has.
    """
    hits = wanted = 0
    for answer, nearest in zip(found, truth, strict=True):
        right = {row for row in nearest[:k] if row >= 0}
        hits += len(right.intersection(answer[:k]))
        wanted += len(right)
    return hits / wanted if wanted else 1.0


def envelope(points):
    """The points (recall, qps) that no other point beats in both, by rising recall and falling speed."""
    best = []
    for point in sorted(points, key=lambda p: (-p[0], -p[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best[::-1]


def qps_at(points, target):
    """Queries a second at a recall: log-linear between the neighbouring points of the envelope.

    The fastest point's speed when even that has the recall, None when no point has it.
    """
    front = envelope(points)
    if not front or front[-1][0] < target:
        return None
    above = next(i for i, point in enumerate(front) if point[0] >= target)
    if above == 0:
        return front[0][1]
    (r0, q0), (r1, q1) = front[above - 1], front[above]
    share = (target - r0) / (r1 - r0)
    return math.exp(math.log(q0) + share * (math.log(q1) - math.log(q0)))


def median(turns):
    """(recall, qps) of the turns of one setting: each number's median."""
    return tuple(statistics.median(numbers) for numbers in zip(*turns, strict=True))


def read_curves(path):
    """{(lib, cfg, filter): {"points": [(recall, qps)], "build_s", "bytes_per_vector"}} in file order."""
    curves = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.strip():
                continue
            point = json.loads(line)
            key = (point["lib"], point["cfg"], point.get("filter"))
            curve = curves.setdefault(key, {"points": {}})
            setting = tuple(point.get(name) for name in SETTINGS)
            curve["points"].setdefault(setting, []).append((point["recall"], point["qps"]))
            for fact in ("build_s", "bytes_per_vector"):
                curve[fact] = point.get(fact, curve.get(fact))
    for curve in curves.values():
        curve["points"] = [median(turns) for turns in curve["points"].values()]
    return curves


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def title(key):
    lib, cfg, share = key
    return f"{lib} {cfg}" + ("" if share is None else f", filter {share:g} %")


def print_rows(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for at, row in enumerate(rows):
        cells = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
        print("| " + " | ".join(cells) + " |")
        if at == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def print_table(curves, targets):
    rows = [["curve", "build s", "B/row", *(f"QPS at {t:g}" for t in targets), "best recall"]]
    for key, curve in curves.items():
        speeds = [number(qps_at(curve["points"], t)) for t in targets]
        best = max(point[0] for point in curve["points"])
        rows.append(
            [title(key), number(curve["build_s"]), number(curve["bytes_per_vector"]), *speeds, f"{best:.4f}"]
        )
    print_rows(rows)


def print_ratios(curves, ours, targets):
    """Our speed over each peer's at the same recall and filter, for each of our curves."""
    for key, curve in ours.items():
        rows = [[f"{title(key)}, times as fast as", *(f"at {t:g}" for t in targets)]]
        for peer, other in curves.items():
            if peer[2] != key[2]:
                continue
            pairs = [(qps_at(curve["points"], t), qps_at(other["points"], t)) for t in targets]
            rows.append([title(peer), *(number(a / b, 2) if a and b else "-" for a, b in pairs)])
        if len(rows) > 1:
            print()
            print_rows(rows)


def main():
    parser = argparse.ArgumentParser(description="Prints the speed at a recall of measured curves.")
    parser.add_argument("results")
    parser.add_argument("--cairn", help="a results file of Cairn's, to print ratios against")
    parser.add_argument("--at", default=",".join(str(t) for t in TARGETS))
    args = parser.parse_args()
    targets = [float(t) for t in args.at.split(",")]
    curves = read_curves(args.results)
    print_table(curves, targets)
    if args.cairn:
        ours = read_curves(args.cairn)
        print()
        print_table(ours, targets)
        print_ratios(curves, ours, targets)


if __name__ == "__main__":
    main()
