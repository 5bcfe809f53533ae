#!/usr/bin/env python3
"""Tests bench/peers/curve.py: recall, the envelope of points, and the speed at a recall."""

import contextlib
import io
import json
import math
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "peers"))

import curve  # noqa: E402


class Recall(unittest.TestCase):
    def test_counts_the_first_k_alone(self):
        self.assertEqual(curve.recall([[1, 2, 9]], [[1, 2, 9]], 2), 1)
        self.assertEqual(curve.recall([[9, 1, 2]], [[1, 2, 9]], 2), 0.5)

    def test_order_does_not_matter_and_a_row_counts_once(self):
        self.assertEqual(curve.recall([[2, 1]], [[1, 2]], 2), 1)
        self.assertEqual(curve.recall([[1, 1]], [[1, 2]], 2), 0.5)

    def test_weighs_all_neighbours_alike(self):
        self.assertEqual(curve.recall([[1, 2], [7, 8]], [[1, 2], [3, 4]], 2), 0.5)

    def test_missing_answers_and_missing_truth(self):
        self.assertEqual(curve.recall([[-1, -1]], [[1, 2]], 2), 0)
        self.assertEqual(curve.recall([[5, -1, -1]], [[5, -1, -1]], 3), 1)
        self.assertEqual(curve.recall([[-1]], [[-1]], 1), 1)

    def test_lengths_must_agree(self):
        with self.assertRaises(ValueError):
            curve.recall([[1]], [[1], [2]], 1)


class Speed(unittest.TestCase):
    def test_envelope_drops_what_another_beats(self):
        points = [(0.8, 100), (0.9, 120), (0.95, 50), (0.93, 40), (0.95, 45)]
        self.assertEqual(curve.envelope(points), [(0.9, 120), (0.95, 50)])
        self.assertEqual(curve.envelope([]), [])

    def test_envelope_of_random_points(self):
        seed = random.SystemRandom().randrange(1 << 32)
        print("seed", seed)
        rng = random.Random(seed)
        for _ in range(200):
            points = [
                (rng.randrange(20) / 20, float(rng.randrange(1, 20))) for _ in range(rng.randrange(1, 30))
            ]
            front = curve.envelope(points)
            for point in points:
                beaten = [p for p in points if p != point and p[0] >= point[0] and p[1] >= point[1]]
                self.assertEqual(point in front, not beaten, (points, point))
            self.assertEqual(front, sorted(front, key=lambda p: (p[0], -p[1])))

    def test_log_linear_between_neighbours(self):
        points = [(0.8, 1000.0), (1.0, 10.0)]
        self.assertAlmostEqual(curve.qps_at(points, 0.9), 100)
        self.assertAlmostEqual(curve.qps_at(points, 0.95), math.sqrt(1000))
        self.assertAlmostEqual(curve.qps_at([*points, (0.9, 200.0)], 0.95), math.sqrt(2000))

    def test_a_point_is_taken_as_it_is(self):
        self.assertAlmostEqual(curve.qps_at([(0.8, 9.0), (0.9, 5.0), (0.95, 2.0)], 0.9), 5)

    def test_a_setting_measured_in_turns_counts_with_its_medians(self):
        points = [(64, 10, 0.9, 100), (64, 10, 0.92, 300), (64, 10, 0.91, 110), (64, 4, 0.8, 500), (32, 10, 0.7, 900)]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "turns.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                for nprobe, factor, recall, qps in points:
                    line = {"lib": "a", "cfg": "c", "nprobe": nprobe, "k_factor": factor, "recall": recall, "qps": qps}
                    file.write(json.dumps(line) + "\n")
            (found,) = curve.read_curves(path).values()
        self.assertEqual(found["points"], [(0.91, 110), (0.8, 500), (0.7, 900)])

    def test_outside_the_curve(self):
        points = [(0.93, 50.0), (0.97, 20.0)]
        self.assertEqual(curve.qps_at(points, 0.9), 50)
        self.assertIsNone(curve.qps_at(points, 0.98))
        self.assertIsNone(curve.qps_at([], 0.9))


class Tables(unittest.TestCase):
    def test_ratios_are_those_of_curves_with_the_same_filter(self):
        def line(lib, recall, qps, **more):
            return (
                json.dumps({"lib": lib, "cfg": "c", "recall": recall, "qps": qps, "build_s": 1, **more})
                + "\n"
            )

        out = io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            peers, ours = os.path.join(folder, "peers"), os.path.join(folder, "ours")
            with open(peers, "w", encoding="utf-8") as file:
                file.write(line("slow", 0.92, 100.0) + "\n" + line("other", 0.92, 100.0, filter=1))
            with open(ours, "w", encoding="utf-8") as file:
                file.write(line("cairn", 0.92, 250.0))
            targets = (0.9, 0.95)
            with contextlib.redirect_stdout(out):
                curve.print_ratios(curve.read_curves(peers), curve.read_curves(ours), targets)
        rows = [
            [cell.strip() for cell in row.strip("|").split("|")] for row in out.getvalue().split("\n") if row
        ]
        self.assertEqual(rows[0], ["cairn c, times as fast as", "at 0.9", "at 0.95"])
        self.assertEqual(rows[2:], [["slow c", "2.50", "-"]])


if __name__ == "__main__":
    unittest.main()
