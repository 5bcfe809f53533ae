#!/usr/bin/env python3
"""Joins what gpu_bench and baseline.py wrote into one table: table.py CAIRN.csv BASELINE.csv"""

import csv
import sys

TARGETS = {("f16", 1): 4.0, ("int8", 1): 2.0, ("1-bit", 1): 0.30, ("f16", 1024): 26.5, ("int8", 1024): 13.3}  # ms, 10 M x 768, H200


def read(path):
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    except OSError:
        return []


def main():
    ours, others = read(sys.argv[1]), read(sys.argv[2])
    best = {}
    for row in others:
        if len(row) == 8:
            key = (row[1], int(row[2]), row[3], row[4], row[5])
            if key not in best or float(row[6]) < best[key][0]:
                best[key] = (float(row[6]), row[0], row[7])
    print("| rows | batch | ms | floor ms | of floor | best baseline ms | ratio | target ms | same labels | wrong |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|---:|")
    for row in ours:
        if len(row) != 10:
            continue
        codec, batch, ms, floor = row[1], int(row[2]), float(row[6]), float(row[7])
        base = best.get((codec, batch, row[3], row[4], row[5]))
        base_text = f"{base[0]:.3f} ({base[1]})" if base else ""
        ratio = f"{base[0] / ms:.2f}" if base else ""
        same = "" if not base else "yes" if base[2] == row[8] else "no"
        full = row[3] == "10000000" and row[4] == "768"
        target = str(TARGETS.get((codec, batch), "")) if full else ""
        print(f"| {codec} | {batch} | {ms:.3f} | {floor:.3f} | {100 * floor / ms:.0f} % | {base_text} | {ratio} | {target} | {same} | {row[9]} |")


if __name__ == "__main__":
    main()
