"""`cairn bench` as its users run it.

Usage: test_bench_program.py PATH_TO_cairn [unittest's arguments]
"""

import array
import json
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

CAIRN = None
SMALL = ["--rows", "400", "--dim", "8", "--queries", "20"]


def fvecs(rows, code="f"):
    return b"".join(struct.pack("<i", len(row)) + array.array(code, row).tobytes() for row in rows)


def npy(descr, shape, data):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


class BenchTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        self.work = self.folder / "work"
        self.work.mkdir()
        self.addCleanup(shutil.rmtree, self.folder)

    def bench(self, *args, status=0):
        done = subprocess.run(
            [CAIRN, "bench", "--seconds", "0.01", "--dir", self.work, *map(str, args)], capture_output=True, text=True, timeout=120
        )
        self.assertEqual(done.returncode, status, f"{args}\n{done.stdout}\n{done.stderr}")
        self.assertEqual(list(self.work.iterdir()), [])
        return done

    def lines(self, *args):
        return [json.loads(line) for line in self.bench(*args, "--json").stdout.splitlines()]

    def refused(self, message, *args, status=2):
        self.assertIn(message, self.bench(*args, status=status).stderr)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def line_data(self):
        """Rows at 0, 1, 2, ..., 59 on a line with a second component; queries at 0.2 and 58.9."""
        data = self.file("base.fvecs", fvecs([[float(i), 1.0] for i in range(60)]))
        queries = self.file("query.fvecs", fvecs([[0.2, 1.0], [58.9, 1.0]]))
        return ["--data", data, "--queries", queries, "--metric", "l2", "--k", "3"]


class Files(BenchTest):
    def test_truth_given_and_computed_agree(self):
        data = self.line_data()
        truth = self.file("truth.ivecs", fvecs([[0, 1, 2], [59, 58, 57]], "i"))
        run, point = self.lines(*data)
        self.assertEqual((run["rows"], run["queries"], run["metric"], run["truth"]), (60, 2, "l2", "computed"))
        self.assertEqual((run["recall"], run["exact_recall"], point["recall"]), (1, 1, 1))
        self.assertEqual(self.lines(*data, "--truth", truth)[0]["truth"], "file")
        numbers = array.array("i", [0, 1, 2, 59, 58, 57]).tobytes()
        self.assertEqual(self.lines(*data, "--truth", self.file("t.npy", npy("<i4", (2, 3), numbers)))[0]["recall"], 1)

    def test_recall_is_counted(self):
        # Of six neighbors that the file calls true two are not: four sixths are found.
        truth = self.file("truth.ivecs", fvecs([[0, 1, 30], [59, 58, 31]], "i"))
        done = self.bench(*self.line_data(), "--truth", truth, "--json")
        run = json.loads(done.stdout.splitlines()[0])
        self.assertAlmostEqual(run["recall"], 4 / 6)
        self.assertAlmostEqual(run["exact_recall"], 4 / 6)
        self.assertIn("to 0.6667 only", done.stderr)

    def test_ties_count(self):
        rows = [[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 30
        data = self.file("base.fvecs", fvecs(rows))
        queries = self.file("query.fvecs", fvecs([[1.0, 0.0]]))
        # Any ten of the thirty equal rows are right, also those that the truth does not name.
        truth = self.file("truth.ivecs", fvecs([list(range(20, 30))], "i"))
        self.assertEqual(self.lines("--data", data, "--queries", queries, "--truth", truth)[0]["recall"], 1)

    def test_npy_and_held_back_queries(self):
        dice = random.Random(7)
        floats = array.array("f", (dice.gauss(0, 1) for _ in range(300 * 5)))
        data = self.file("base.npy", npy("<f4", (300, 5), floats.tobytes()))
        run = self.lines("--data", data, "--queries", "30")[0]
        self.assertEqual((run["rows"], run["queries"], run["dim"], run["recall"]), (270, 30, 5, 1))
        run = self.lines("--data", data, "--queries", "30", "--rows", "100", "--metric", "manhattan")[0]
        self.assertEqual((run["rows"], run["queries"], run["recall"]), (100, 30, 1))
        self.refused("300 rows cannot give 300", "--data", data, "--queries", "300")

    def test_what_does_not_fit_is_refused(self):
        data = self.line_data()
        wide = self.file("wide.fvecs", fvecs([[1.0, 2.0, 3.0]]))
        self.refused("have 3 components, the rows of", *data[:2], "--queries", wide, status=1)
        for ids, message in [
            ([[0, 1, 60], [1, 2, 3]], "neighbor 2 of query 0 is row 60; the rows are 0 to 59"),
            ([[0, 1, 2], [-1, 2, 3]], "neighbor 0 of query 1 is row -1"),
            ([[0, 1], [2, 3]], "has 2 neighbors a query; --k 3"),
            ([[0, 1, 2]], "has neighbors of 1 queries; there are 2"),
            ([[40, 1, 2], [59, 58, 57]], "is no truth of these rows by l2"),
        ]:
            self.refused(message, *data, "--truth", self.file("bad.ivecs", fvecs(ids, "i")))
        nan = self.file("nan.fvecs", fvecs([[1.0], [float("nan")], [1.0]]))
        self.refused("nan.fvecs: row 1 holds nan", "--data", nan, "--queries", "1")
        zero = self.file("zero.fvecs", fvecs([[1.0], [0.0], [1.0]]))
        self.refused("zero.fvecs: row 1 is a zero vector", "--data", zero, "--queries", "1", status=1)
        self.lines("--data", zero, "--queries", "1", "--metric", "l2")
        empty = self.file("empty.fvecs", b"")
        self.refused("the file has no rows", *data[:2], "--queries", empty)
        cut = self.file("cut.fvecs", fvecs([[1.0, 2.0]])[:-1])
        self.refused("cut.fvecs: the file ends inside row 0", "--data", cut, status=1)
        lying = self.file("lying.npy", npy("<f4", (1000, 2), b"\0" * 80))
        self.refused("the file ends at row 10 of the 1000", "--data", lying, status=1)
        self.refused("cannot open", "--data", self.folder / "none.fvecs", status=3)
        self.bench("--data", self.file("x.hdf5", b"not HDF5"), status=1 if self.has_hdf5() else 2)
        self.refused("its name ends in none of", "--data", self.file("x.bin", b"1"))

    def has_hdf5(self):
        done = subprocess.run(
            [CAIRN, "bench", "--data", self.file("probe.hdf5", b"")], capture_output=True, text=True, timeout=60
        )
        return "built without HDF5" not in done.stderr

    def test_truth_is_cached(self):
        cache = self.folder / "cache"
        cache.mkdir()
        args = [*SMALL, "--cache", cache]
        self.assertEqual(self.lines(*args)[0]["truth"], "computed")
        (kept,) = cache.iterdir()
        self.assertRegex(kept.name, r"^truth-[0-9a-f]{16}-k10-cosine\.ivecs$")
        self.assertEqual(self.lines(*args)[0]["truth"], "cache")
        self.assertEqual(self.lines(*args, "--k", "5")[0]["truth"], "computed")
        content = kept.read_bytes()
        for damaged in [content[:-3], b"", content[:4] + b"\xff\xff\xff\x7f" + content[8:], content[::-1]]:
            kept.write_bytes(damaged)
            run = self.lines(*args)[0]
            self.assertEqual((run["truth"], run["recall"]), ("computed", 1))
            self.assertEqual(kept.read_bytes(), content)
        self.refused("cannot write", *SMALL, "--cache", self.folder / "none", status=3)


class Runs(BenchTest):
    def test_sweep_of_an_index(self):
        args = ["--rows", "3000", "--dim", "16", "--queries", "30", "--index", "faiss:HNSW16"]
        lines = self.lines(*args, "--ef", "10,40", "--threads", "2")
        self.assertEqual([line["kind"] for line in lines], ["run", "point", "point"])
        self.assertEqual([line["ef"] for line in lines[1:]], [10, 40])
        self.assertEqual({line["plan"] for line in lines[1:]}, {"index"})
        self.assertEqual((lines[0]["indexed_rows"], lines[0]["threads"]), (3000, 2))
        self.assertLessEqual(lines[1]["recall"], lines[2]["recall"] + 0.01)
        for line in lines[1:]:
            self.assertGreater(line["bytes_per_vector"], 0)
            self.assertTrue(0 < line["p50_ms"] <= line["p90_ms"] <= line["p99_ms"] <= line["p999_ms"])
        self.assertGreater(len(self.lines(*args)), 2)  # without a list: the default, and doubling ones
        lines = self.lines(*args[:-1], "faiss:IVF16,Flat", "--nprobe", "1,16")
        self.assertEqual([(line["nprobe"], line["lib"]) for line in lines[1:]], [(1, "cairn"), (16, "cairn")])
        self.assertEqual(lines[2]["recall"], 1)
        run = self.lines(*args[:-2], "--quantization", "scalar", "--oversampling", "4")[0]
        self.assertEqual((run["quantization"], run["index"]), ("scalar", "auto"))

    def test_workloads(self):
        lines = self.lines(
            *SMALL, "--filter-selectivity", "0.5,0.01", "--filter-kind", "all", "--mixed", "0.3", "--churn", "2"
        )
        kinds = [line["kind"] for line in lines]
        self.assertEqual(kinds, ["run", "point"] + ["filter"] * 6 + ["mixed"] + ["churn"] * 2)
        filters = [(line["filter_kind"], line["matching"]) for line in lines[2:8]]
        expected = [(kind, n) for kind in ["random", "correlated", "anticorrelated"] for n in [200, 4]]
        self.assertEqual(filters, expected)
        for line in lines[2:8]:
            self.assertEqual((line["recall"], line["exact_recall"]), (1, 1))
            self.assertGreater(line["of_exact"], 0)
        mixed, *churned = lines[8:]
        self.assertGreater(mixed["inserted"], 0)
        self.assertGreater(mixed["together_searches"], 0)
        for line in churned:
            self.assertEqual((line["rows"], line["recall"], line["written_recall"]), (200, 1, 1))
        text = self.bench(*SMALL, "--filter-selectivity", "0.1", "--churn", "1", "--mixed", "0.2").stdout
        for words in ["recall@10", "random 0.1", "while a thread inserts", "round 1, optimized", "p99.9"]:
            self.assertIn(words, text)

    def test_databases_are_reused_and_filters_written(self):
        data = [*SMALL, "--filter-selectivity", "0.25", "--filter-kind", "all"]
        prefix = self.folder / "filters"
        self.bench(*data, "--keep", "--dir", self.folder)
        (kept,) = self.folder.glob("cairn-bench-*")
        lines = self.lines(*data, "--reuse", kept, "--filter-out", prefix)
        self.assertTrue(kept.exists())
        for line in lines[2:5]:
            self.assertEqual((line["recall"], line["matching"]), (1, 100))
            self.assertGreater(line["first_ms"], 0)
        order = array.array("i", (self.folder / "filters.place.ivecs").read_bytes())
        self.assertEqual(sorted(order[1:]), list(range(400)))
        ranges = array.array("i", (self.folder / "filters.filter25-anticorrelated.ranges.ivecs").read_bytes())
        truth = array.array("i", (self.folder / "filters.filter25-anticorrelated.gt.ivecs").read_bytes())
        self.assertEqual((len(ranges), len(truth)), (20 * 3, 20 * 11))
        for query in range(20):
            begin, end = ranges[3 * query + 1 : 3 * query + 3]
            self.assertEqual(end - begin, 100)
            self.assertLessEqual(set(truth[11 * query + 1 : 11 * query + 11]), set(order[1 + begin : 1 + end]))
        self.refused("holds 400 rows, not 300", "--rows", "300", *data[2:], "--reuse", kept, status=2)
        self.refused("--reuse is for searches", *data, "--reuse", kept, "--churn", "1")
        self.refused("--filter-out goes with", *SMALL, "--filter-out", prefix)

    def test_drawings_and_comparison(self):
        others = self.file(
            "others.jsonl", b'{"lib":"other<&>","cfg":"c","ef":8,"recall":0.97,"qps":100,"build_s":3}\n'
            b'{"lib":"other<&>","cfg":"c","ef":80,"recall":1,"qps":10,"build_s":3}\n'
        )
        svg, html = self.folder / "a.svg", self.folder / "a.html"
        lines = self.lines(*SMALL, "--compare", others, "--plot", svg)
        compared = lines[-1]
        self.assertEqual((compared["kind"], compared["with"]), ("compare", "other<&> c"))
        self.assertEqual((compared["qps_0.95"], compared["bound_0.95"]), (100, True))
        self.assertAlmostEqual(compared["qps_0.99"], 100 ** (1 / 3) * 10 ** (2 / 3), places=6)
        self.assertAlmostEqual(compared["ratio_0.99"] * compared["qps_0.99"] / lines[1]["qps"], 1, places=6)
        root = xml.etree.ElementTree.parse(svg).getroot()
        texts = [node.text for node in root.iter() if node.tag.endswith("}text")]
        for words in ["other<&> c", "recall@10, stretched towards 1", "400 vectors of 8 components, cosine"]:
            self.assertIn(words, texts)
        self.assertNotRegex(svg.read_text().replace("http://www.w3.org/2000/svg", ""), r"https?:|url\(|@import")
        self.assertIn("this run's as a multiple", self.bench(*SMALL, "--compare", others, "--plot", html).stdout)
        self.assertRegex(html.read_text(), r"(?s)^<!DOCTYPE html>.*<svg.*<table>.*other&lt;&amp;> c.*</html>\n$")
        ours = self.file("ours.jsonl", self.bench(*SMALL, "--json").stdout.encode())
        self.assertEqual(self.lines(*SMALL, "--compare", ours)[-1]["with"], "cairn auto")
        self.refused("no line has", *SMALL, "--compare", self.file("bad.jsonl", b"{}\n"))

    def test_wrong_command_lines(self):
        for message, *args in [
            ("--ef wants up to 64 integers", "--ef", "16,,32"),
            ("--ef wants up to 64 integers", "--ef", "0"),
            ("not both", "--ef", "1", "--nprobe", "1"),
            ("--filter-selectivity wants", "--filter-selectivity", "0.5,2"),
            ("goes with --filter-selectivity", "--filter-kind", "random"),
            ("--queries wants a number from 1", "--queries", "0"),
            ("named .svg or .html", "--plot", "x.png"),
            ("leave out --dim", "--data", "x.fvecs", "--dim", "3"),
            ("name it by --queries", "--truth", "x.ivecs"),
            ("--mixed wants seconds", "--mixed", "-1"),
        ]:
            self.refused(message, *args)
        self.refused("nonsense", *SMALL, "--index", "faiss:nonsense")

    def test_ctrl_c_leaves_nothing(self):
        for delay in [0.05, 0.4, 1]:
            cairn = subprocess.Popen(
                [CAIRN, "bench", "--dir", self.work, "--rows", "100000", "--dim", "96"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            status = pathlib.Path(f"/proc/{cairn.pid}/status")
            while not int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) & 1 << (signal.SIGINT - 1):
                time.sleep(0.01)
            time.sleep(delay)
            cairn.send_signal(signal.SIGINT)
            out, err = cairn.communicate(timeout=100)
            self.assertEqual((cairn.returncode, out), (130, ""), err)
            self.assertEqual(list(self.work.iterdir()), [])


if __name__ == "__main__":
    CAIRN = os.path.abspath(sys.argv.pop(1))
    unittest.main()
