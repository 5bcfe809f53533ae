"""The program as its users run it: every command, its exit statuses and its outputs.

Usage: test_program.py PATH_TO_cairn [unittest's arguments]
"""

import array
import http.server
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

CAIRN = None
ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = [
    "init",
    "add",
    "import",
    "search",
    "retrieve",
    "get",
    "scroll",
    "update",
    "delete",
    "prune",
    "export",
    "collection create",
    "collection list",
    "collection drop",
    "index create",
    "index drop",
    "stats",
    "optimize",
    "verify",
    "rebuild",
    "backup",
    "restore",
    "serve",
    "bench",
    "version",
    "help",
]


def lines_of(records):
    return "".join(json.dumps(r) + "\n" for r in records)


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.db = str(self.folder / "memory.cairn")

    def run_cairn(self, *args, status=0, stdin=""):
        done = subprocess.run(
            [CAIRN, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=120
        )
        self.assertEqual(done.returncode, status, f"cairn {args}\n{done.stdout}\n{done.stderr}")
        return done

    def json_of(self, *args, **more):
        return [json.loads(line) for line in self.run_cairn(*args, **more).stdout.splitlines()]

    def import_records(self, records, *args, **more):
        return self.run_cairn("import", self.db, "-", *args, stdin=lines_of(records), **more)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def state_files(self):
        return list(self.folder.glob("memory.cairn.import-*.json*"))


class Manual(ProgramTest):
    def test_every_command_explains_itself(self):
        for command in COMMANDS:
            text = self.run_cairn("help", *command.split()).stdout
            self.assertTrue(text.startswith(f"cairn {command}"), command)
            self.assertIn("Examples:", text, command)
            self.assertEqual(self.run_cairn(*command.split(), "--help").stdout, text)
        overview = self.run_cairn("help").stdout
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", overview)
        self.assertEqual(self.run_cairn("--help").stdout, overview)
        self.assertEqual(self.run_cairn(status=2).stdout, overview)
        self.assertRegex(self.run_cairn("version").stdout, r"^cairn \d+\.\d+\.\d+\n$")

    def test_manuals_are_those_of_the_program(self):
        for form, path in [
            ("man", "cli/cairn.1"),
            ("bash", "cli/completions/cairn.bash"),
            ("zsh", "cli/completions/_cairn"),
        ]:
            self.assertEqual(
                self.run_cairn("help", "--as", form).stdout,
                (ROOT / path).read_text(),
                f"{path} is old: cairn help --as {form} > {path}",
            )
        reference = (ROOT / "docs/CLI.md").read_text().partition("## Exit statuses\n")
        self.assertEqual(
            self.run_cairn("help", "--as", "markdown").stdout,
            reference[1] + reference[2],
            'docs/CLI.md is old from "## Exit statuses" on: cairn help --as markdown',
        )

    def test_wrong_command_lines_say_what_to_do(self):
        for args, message in [
            (["serach"], "did you mean 'search'?"),
            (["collection"], "create, list, drop"),
            (["search"], "DB is missing"),
            (["search", self.db], "--text TEXT or --vector JSON"),
            (["search", self.db, "--k", "0"], "--k wants an integer from 1 to 1000000"),
            (["search", self.db, "--txet", "a"], "did you mean --text?"),
            (["import", self.db], "FILE is missing"),
            (["import", self.db, "x.dat"], "--format"),
            (["import", self.db, "-", "--resume"], "--resume needs a file"),
            (["delete", self.db], "give ids"),
            (["collection", "create", self.db, "c"], "--dim"),
            (["add", self.db, "--vector", "[1,"], "--vector"),
            (["add", self.db, "--text", "a", "--embed", "openai:x"], "openai:URL,MODEL"),
        ]:
            self.assertIn(message, self.run_cairn(*args, status=2).stderr)


class Import(ProgramTest):
    def test_creates_what_is_absent_and_keeps_every_kind_of_id(self):
        done = self.import_records(
            [
                {"id": "a", "vector": [1, 0]},
                {"id": 42, "vector": [0, 1]},
                {"id": "42", "vector": [1, 1]},
                {"vector": [-1, 0.5]},
            ]
        )
        self.assertIn("stored 4 records", done.stdout)
        self.assertEqual(self.json_of("get", self.db, "42", "--json")[0]["id"], "42")
        self.run_cairn("delete", self.db, "42")
        self.assertEqual(self.json_of("get", self.db, "42", "--json")[0]["id"], 42)
        hits = self.json_of("search", self.db, "--vector", "[0.9,0.1]", "--k", "2", "--json", "--info")
        self.assertEqual([h.get("id") for h in hits[:2]][0], "a")
        self.assertEqual(hits[2]["info"]["rows"], 3)
        hits = self.json_of("search", self.db, "--vector", "[0.9,0.1]", "--k", "2", "--json", "--info", "--device", "cpu")
        self.assertEqual((hits[0].get("id"), hits[2]["info"]["device"]), ("a", "cpu"))
        self.run_cairn("verify", self.db)

    def test_texts_get_vectors_of_the_built_in_embedder(self):
        self.import_records(
            [
                {"id": "p1", "text": "use ccache for a faster build"},
                {"id": "p2", "text": "water the tomatoes in the morning"},
            ],
            "--domain",
            "tips",
        )
        space = self.json_of("collection", "list", self.db, "--json")[0]["schema"]["spaces"][0]
        self.assertEqual((space["dim"], space["model"]), (384, "cairn-ngram-1"))
        hits = self.json_of("search", self.db, "--text", "faster builds", "--json", "--domain", "tips")
        self.assertEqual(hits[0]["id"], "p1")
        self.assertIn("p2", self.run_cairn("search", self.db, "--text", "tomato").stdout)

    def test_texts_get_vectors_of_an_endpoint(self):
        asked = []

        class Endpoint(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.headers["Authorization"], body["model"]))
                texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
                data = [{"index": i, "embedding": [len(t), t.count("a"), 1]} for i, t in enumerate(texts)]
                answer = json.dumps({"data": data, "model": body["model"]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        embed = ["--embed", f"openai:http://127.0.0.1:{server.server_port}/v1/embeddings,tiny"]
        os.environ["CAIRN_EMBED_KEY"] = "secret"
        self.addCleanup(os.environ.pop, "CAIRN_EMBED_KEY")
        self.import_records([{"id": "a", "text": "aaaa"}, {"id": "b", "text": "bbbb"}], *embed)
        self.assertEqual(set(asked), {("Bearer secret", "tiny")})
        hits = self.json_of("search", self.db, "--text", "aaa", "--json", *embed)
        self.assertEqual([h["id"] for h in hits], ["a", "b"])
        self.assertNotIn("secret", self.run_cairn("stats", self.db, "--json").stdout)
        self.run_cairn("search", self.db, "--text", "aaa", "--embed", "ngram:64", status=1)  # another model

    def test_bad_records_are_told_by_line_and_the_others_go_in(self):
        good = [json.dumps({"id": f"g{i}", "vector": [i + 1, 1]}) for i in range(50)]
        lines = (
            good[:10]
            + ['{"id":', '{"id":"x","vector":[1,2,3]}', '{"id":"z","vector":[0,0]}']
            + good[10:]
            + ["[]"]
        )
        path = self.file("mixed.jsonl", "\n".join(lines))
        done = self.run_cairn("import", self.db, path, status=4)
        for line in (11, 12, 13, 54):
            self.assertIn(f"line {line}: ", done.stderr)
        self.assertEqual(done.stderr.count("line "), 4, done.stderr)
        self.assertIn("; 4 bad", done.stdout)
        self.assertEqual(len(self.json_of("scroll", self.db, "--limit", "100", "--json")), 50)
        self.assertEqual(self.state_files(), [])

    def test_can_stop_at_the_first_bad_record(self):
        records = (
            lines_of({"id": f"g{i}", "vector": [1, i]} for i in range(5))
            + "nonsense\n"
            + lines_of([{"id": "late", "vector": [1, 2]}])
        )
        self.run_cairn("import", self.db, self.file("x.jsonl", records), "--on-error", "stop", status=4)
        self.assertEqual(len(self.json_of("scroll", self.db, "--json")), 5)

    def test_acks_are_the_ids_and_nothing_else_and_come_after_the_write(self):
        with subprocess.Popen(
            [CAIRN, "import", self.db, "-", "--acks", "--batch", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdin.write(lines_of({"id": i, "vector": [1, i]} for i in range(2)))
            process.stdin.flush()
            self.assertEqual([process.stdout.readline() for _ in range(2)], ["0\n", "1\n"])
            self.assertEqual(len(self.json_of("get", self.db, "0", "1", "--json")), 2)
            process.stdin.write(
                lines_of(
                    [{"id": "a b", "vector": [1, 2]}, {"id": "c\nd", "vector": [1, 2]}, {"vector": [1, 3]}]
                )
            )
            process.stdin.close()
            rest = process.stdout.read().splitlines()
            self.assertEqual(rest[:2], ["a b", '"c\\nd"'])
            self.assertRegex(rest[2], r"^[0-9a-f-]{36}$")
            self.assertEqual(len(rest), 3)
            self.assertEqual(process.wait(timeout=60), 0)

    def interrupted(self, path, number):
        """Imports until the second batch is acknowledged, so that the first is on record, then sends the
        signal; gives the acknowledged ids."""
        with subprocess.Popen(
            [CAIRN, "import", self.db, path, "--acks", "--batch", "20"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            ids = [process.stdout.readline() for _ in range(21)]
            process.send_signal(number)
            ids += process.stdout.readlines()
            error = process.stderr.read()
            return [i.strip() for i in ids], process.wait(timeout=60), error

    def check_resume(self, number, status):
        count = 3000
        path = self.file(
            "big.jsonl", lines_of({"id": f"r{i}", "text": f"record number {i} of many"} for i in range(count))
        )
        ids, got, error = self.interrupted(path, number)
        self.assertEqual(got, status)
        self.assertLess(len(ids), count)
        present = {p["id"] for p in self.json_of("scroll", self.db, "--limit", count, "--json")}
        self.assertLessEqual(set(ids), present)
        if number == signal.SIGINT:
            self.assertIn("--resume", error)
            self.assertEqual(len(present), len(ids))
        self.assertEqual(len([f for f in self.state_files() if f.suffix == ".json"]), 1)
        done = self.json_of("import", self.db, path, "--resume", "--json")[0]
        self.assertGreater(done["stored_earlier"], 0)
        self.assertEqual(done["stored_earlier"] + done["stored"], count)
        self.assertEqual(len(self.json_of("scroll", self.db, "--limit", count + 1, "--json")), count)
        self.assertEqual(self.state_files(), [])
        self.run_cairn("verify", self.db)

    def test_ctrl_c_can_be_resumed(self):
        self.check_resume(signal.SIGINT, 130)

    def test_a_killed_import_can_be_resumed(self):
        self.check_resume(signal.SIGKILL, -signal.SIGKILL)

    def test_a_changed_file_is_not_resumed(self):
        path = self.file("big.jsonl", lines_of({"id": f"r{i}", "text": f"record {i}"} for i in range(3000)))
        self.interrupted(path, signal.SIGINT)
        with open(path, "a", encoding="utf-8") as more:
            more.write("{}\n")
        self.assertIn("size or inode", self.run_cairn("import", self.db, path, "--resume", status=1).stderr)

    def test_waits_for_a_stream_and_ends_by_a_signal(self):
        with subprocess.Popen(
            [CAIRN, "import", self.db, "-", "--acks", "--batch", "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdin.write(lines_of([{"id": "a", "vector": [1, 2]}]))
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), "a\n")
            time.sleep(0.2)  # it reads again
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=60), 130)
            process.stdin.close()

    def test_other_formats(self):
        self.run_cairn("import", self.db, self.file("t.csv", "id,vector,section\na,1 2,admin\nb,3;4,007\n"))
        self.assertEqual(self.json_of("get", self.db, "b", "--json")[0]["payload"], {"section": "007"})

        rows = [[1.0, 2.5], [3.0, -4.0], [0.5, 0.25]]
        fvecs = b"".join(struct.pack("<i2f", 2, *row) for row in rows)
        self.run_cairn("import", self.db, self.file("v.fvecs", fvecs), "-c", "fvecs")
        header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n"
        npy = (
            b"\x93NUMPY\x01\x00"
            + struct.pack("<H", len(header))
            + header.encode()
            + b"".join(struct.pack("<2d", *r) for r in rows)
        )
        self.run_cairn("import", self.db, self.file("v.npy", npy), "-c", "npy", "--id-prefix", "row-")
        got = self.json_of("scroll", self.db, "-c", "fvecs", "--json", "--vectors")
        self.assertEqual([(p["id"], p["vector"]) for p in got], list(enumerate(rows)))
        got = self.json_of("scroll", self.db, "-c", "npy", "--json", "--vectors")
        self.assertEqual([(p["id"], p["vector"]) for p in got], [(f"row-{i}", r) for i, r in enumerate(rows)])

        out = str(self.folder / "out.npy")
        self.run_cairn("export", self.db, "-c", "npy", "-o", out)
        content = pathlib.Path(out).read_bytes()
        self.assertIn(b"'shape': (3, 2)", content[:128])
        self.assertEqual(array.array("f", content[128:]).tolist(), [x for row in rows for x in row])
        self.assertEqual(pathlib.Path(out + ".ids").read_text(), '"row-0"\n"row-1"\n"row-2"\n')

        cut = self.file("cut.npy", npy[:-4])
        self.assertIn("ends at row 2", self.run_cairn("import", self.db, cut, "-c", "cut", status=1).stderr)
        self.assertEqual(len(self.json_of("scroll", self.db, "-c", "cut", "--json")), 2)

    def test_agentdb_records(self):
        data = {"embedding": [0.1, 0.2], "pattern": "use ccache", "metadata": {"k": 1}}
        common = {
            "type": "pattern",
            "domain": "build",
            "confidence": 0.9,
            "usage_count": 3,
            "success_count": 2,
            "created_at": 1700000000000,
            "last_used": 1700000000001,
        }
        self.import_records(
            [
                {"id": "o", "pattern_data": data, **common},
                {"id": "s", "pattern_data": json.dumps(data), **common},
            ]
        )
        for pattern in self.json_of("get", self.db, "o", "s", "--json"):
            self.assertEqual(pattern["text"], "use ccache")
            self.assertEqual(pattern["payload"], {"pattern": "use ccache", "metadata": {"k": 1}})
            self.assertEqual({k: pattern[k] for k in common}, common)


class Export(ProgramTest):
    def test_an_export_names_the_quantization(self):
        for name in ("f16", "binary", "product", "scalar4"):
            with self.subTest(name):
                one, other = (str(self.folder / f"{name}-{i}.cairn") for i in (1, 2))
                records = "".join(json.dumps({"id": i, "vector": [i, 1, -i]}) + "\n" for i in range(50))
                self.run_cairn("import", one, "-", "--quantization", name, stdin=records)
                self.run_cairn("rebuild", one)
                first = self.run_cairn("export", one, "--with-schema").stdout
                self.assertIn(f'"quantization":"{name}"', first)
                self.run_cairn("import", other, "-", stdin=first)
                self.assertEqual(self.run_cairn("export", other, "--with-schema").stdout, first)
                found = self.run_cairn("search", other, "--vector", "[3,1,-3]", "-k", "1", "--json").stdout
                self.assertIn('"id":3', found.replace(" ", ""))

    def test_import_of_an_export_is_equal(self):
        self.import_records(
            [
                {
                    "id": 'p "1"',
                    "domain": "d",
                    "agent": "a",
                    "type": "t",
                    "text": "line\nbreak \u00e9 \U0001faa8",
                    "vector": [1e-40, 0.1, -3.4e38],
                    "payload": {"n": 18446744073709551615, "s": [1, 2.5, None, True]},
                    "confidence": 0.0,
                    "usage_count": 7,
                    "success_count": 5,
                    "created_at": 1700000000000,
                    "last_used": 1700000000001,
                    "expires_at": 4000000000000,
                },
                {"id": 18446744073709551615, "vector": [1, 2, 3]},
                {"id": "00000000-0000-4000-8000-000000000001", "id_type": "uuid", "vector": [3, 2, 1]},
                {"id": "t", "text": "only a text"},
            ],
            "--metric",
            "l2",
            "--lexical",
        )
        self.run_cairn("index", "create", self.db, "n")
        first = self.run_cairn("export", self.db, "--with-schema").stdout
        other = str(self.folder / "other.cairn")
        self.run_cairn("import", other, "-", stdin=first)
        self.assertEqual(self.run_cairn("export", other, "--with-schema").stdout, first)
        self.assertEqual(len(first.splitlines()), 5)
        self.assertIn('"id":18446744073709551615,', first)
        self.assertIn('"n":18446744073709551615', first)
        self.assertIn('"payload_indexes":["n"]', first)
        self.run_cairn("verify", other)

    def test_an_export_names_all_spaces(self):
        schema = {"collection": "default", "lexical": False, "spaces": [
            {"name": "image", "kind": "dense", "dim": 2, "metric": "dot", "quantization": "none", "index": "auto", "model": "clip"},
            {"name": "words", "kind": "sparse", "metric": "dot", "quantization": "none", "index": "auto"},
            {"name": "parts", "kind": "multi", "dim": 3, "metric": "cosine", "quantization": "none", "index": "auto"}]}
        self.run_cairn("import", self.db, "-", stdin=json.dumps({"schema": schema}) + "\n")
        first = self.run_cairn("export", self.db, "--with-schema").stdout
        for name in ("image", "words", "parts"):
            self.assertIn(f'"name":"{name}"', first)
        other = str(self.folder / "other.cairn")
        self.run_cairn("import", other, "-", stdin=first)
        self.assertEqual(self.run_cairn("export", other, "--with-schema").stdout, first)

    def test_an_empty_collection_is_exported_with_its_settings(self):
        self.run_cairn("init", self.db, "--dim", "3", "--metric", "dot")
        first = self.run_cairn("export", self.db, "--with-schema").stdout
        other = str(self.folder / "other.cairn")
        self.run_cairn("import", other, "-", stdin=first)
        self.assertEqual(self.run_cairn("export", other, "--with-schema").stdout, first)

    def test_files_appear_whole_and_replace_nothing(self):
        self.import_records([{"id": i, "vector": [1, i]} for i in range(1000)])
        out = str(self.folder / "out.jsonl")
        self.run_cairn("export", self.db, "-o", out)
        self.assertEqual(len(pathlib.Path(out).read_text().splitlines()), 1000)
        self.assertIn("--force", self.run_cairn("export", self.db, "-o", out, status=1).stderr)
        self.run_cairn(
            "export", self.db, "-o", out, "--force", "--no-vectors", "--filter", "{}", "--domain", "none"
        )
        self.assertEqual(pathlib.Path(out).read_text(), "")
        self.assertEqual(list(self.folder.glob("*.partial")), [])

    def test_a_reader_that_goes_away_is_no_noise(self):
        self.import_records([{"id": i, "text": "x" * 200, "vector": [1, i]} for i in range(5000)])
        with subprocess.Popen(
            [CAIRN, "export", self.db], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(timeout=60), 141)
            self.assertEqual(process.stderr.read(), b"")
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [CAIRN, "export", self.db], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)


class Patterns(ProgramTest):
    def test_add_update_get_delete(self):
        self.assertEqual(
            self.run_cairn(
                "add", self.db, "--id", "p1", "--vector", "[1,2]", "--payload", '{"size":3}', "--domain", "d"
            ).stdout,
            "p1\n",
        )
        self.run_cairn("add", self.db, "--id", "p1", "--vector", "[1,2]", status=1)
        self.run_cairn("add", self.db, "--id", "p1", "--vector", "[1,3]", "--domain", "d", "--replace")
        new = self.run_cairn("add", self.db, "--vector", "-", stdin="[4, 5]").stdout.strip()
        self.run_cairn("update", self.db, "p1", "--confidence", "0.9", "--expires-at", "2124-05-01")
        pattern = self.json_of("get", self.db, "p1", "--json", "--vectors")[0]
        self.assertEqual((pattern["confidence"], pattern["vector"], pattern["version"]), (0.9, [1, 3], 3))
        self.assertEqual(pattern["expires_at"], 4870195200000)
        self.run_cairn("update", self.db, "p1", "--if-version", "2", "--confidence", "0.1", status=1)
        self.run_cairn("update", self.db, "nobody", "--confidence", "0.1", status=3)
        self.assertIn("confidence", self.run_cairn("get", self.db, "p1").stdout)
        done = self.run_cairn("get", self.db, "p1", "nobody", status=3)
        self.assertIn("p1", done.stdout)
        self.assertIn("'nobody'", done.stderr)
        self.assertEqual(
            self.run_cairn("delete", self.db, "--domain", "d", "--dry-run").stdout, "would delete 1\n"
        )
        self.assertEqual(self.run_cairn("delete", self.db, "p1", "nobody", status=3).stdout, "deleted 1\n")
        self.assertEqual([p["id"] for p in self.json_of("scroll", self.db, "--json")], [new])

    def test_scroll_goes_page_by_page(self):
        self.import_records([{"id": i, "vector": [1, i]} for i in range(25)])
        seen, cursor = [], 0
        while True:
            page = self.json_of("scroll", self.db, "--limit", "10", "--cursor", cursor, "--json", "--info")
            seen += [p["id"] for p in page[:-1]]
            cursor = page[-1]["cursor"]
            if cursor == 0:
                break
        self.assertEqual(seen, list(range(25)))
        self.assertIn("--cursor", self.run_cairn("scroll", self.db, "--limit", "10").stdout)

    def test_search_by_everything(self):
        self.import_records(
            [
                {
                    "id": f"p{i}",
                    "text": f"{word} in the shed",
                    "payload": {"size": i},
                    "domain": "even" if i % 2 == 0 else "odd",
                }
                for i, word in enumerate(["hammer", "saw", "hammers", "rake"])
            ],
            "--lexical",
        )
        search = ["search", self.db, "--json", "--text", "hammer"]
        self.assertEqual(
            {h["id"] for h in self.json_of(*search, "--mode", "vector", "--k", "2")}, {"p0", "p2"}
        )
        self.assertEqual(self.json_of(*search, "--mode", "lexical")[0]["id"], "p0")
        self.assertEqual(self.json_of(*search, "--mode", "hybrid", "--fusion", "weighted")[0]["id"], "p0")
        self.assertEqual(
            [h["id"] for h in self.json_of(*search, "--mode", "vector", "--filter", '{"size":{"$gte":3}}')],
            ["p3"],
        )
        self.assertEqual(
            {h["domain"] for h in self.json_of(*search, "--mode", "vector", "--domain", "odd")}, {"odd"}
        )
        self.run_cairn(*search, "--filter", "{", status=2)
        table = self.run_cairn("search", self.db, "--text", "hammer", "--exact").stdout
        self.assertIn("hammer in the shed", table)
        self.assertIn("plan", table)
        self.assertNotIn("\033", table)
        answer = self.json_of(
            "retrieve", self.db, "--text", "hammer", "--k", "2", "--mmr", "0.5", "--context", "--json"
        )[0]
        self.assertEqual(len(answer["memories"]), 2)
        self.assertIn("synthesizedContext", answer["context"])
        self.assertIn(
            "similarity", self.run_cairn("retrieve", self.db, "--text", "hammer", "--context").stdout
        )
        report = self.json_of("prune", self.db, "--dry-run", "--json")[0]
        self.assertEqual(report["patterns_before"], 4)
        self.assertIn("would be", self.run_cairn("prune", self.db, "--dry-run").stdout)

    def test_control_characters_do_not_reach_a_terminal(self):
        self.import_records(
            [{"id": "e\u001b[31m", "text": "\u001b]0;title\u0007 red \u009b31m", "vector": [1, 2]}]
        )
        for args in (
            ["search", self.db, "--vector", "[1,2]"],
            ["get", self.db, "e\u001b[31m"],
            ["scroll", self.db],
        ):
            text = self.run_cairn(*args).stdout
            self.assertIn("red", text)
            self.assertFalse({"\u001b", "\u0007", "\u009b"} & set(text))


class Databases(ProgramTest):
    def test_what_is_not_there_is_3(self):
        self.run_cairn("get", self.db, "p1", status=3)
        self.run_cairn("verify", self.db, status=3)
        self.run_cairn("import", self.db, self.folder / "none.jsonl", status=3)
        self.assertFalse(os.path.exists(self.db))
        self.run_cairn("init", self.db)
        self.run_cairn("search", self.db, "--text", "a", status=3)
        self.run_cairn("collection", "drop", self.db, "none", status=3)
        self.run_cairn("init", self.db, status=1)

    def test_collections_and_indexes(self):
        self.run_cairn("init", self.db, "-c", "notes", "--embed", "ngram:64", "--lexical")
        self.run_cairn(
            "collection",
            "create",
            self.db,
            "images",
            "--dim",
            "3",
            "--metric",
            "dot",
            "--metadata",
            '{"a":1}',
        )
        self.run_cairn("collection", "create", self.db, "images", "--dim", "3", status=1)
        schemas = {
            c["schema"]["collection"]: c["schema"]
            for c in self.json_of("collection", "list", self.db, "--json")
        }
        self.assertEqual(schemas["images"]["spaces"][0]["metric"], "dot")
        self.assertEqual(schemas["images"]["metadata"], {"a": 1})
        self.assertEqual(schemas["notes"]["spaces"][0]["dim"], 64)
        self.assertTrue(schemas["notes"]["lexical"])
        self.run_cairn(
            "import", self.db, "-", "-c", "images", "--dim", "4", stdin='{"vector":[1,2,3]}', status=1
        )
        self.run_cairn("index", "create", self.db, "size", "-c", "images")
        self.run_cairn("index", "drop", self.db, "size", "-c", "images")
        self.run_cairn("collection", "drop", self.db, "images")
        self.assertIn("notes", self.run_cairn("collection", "list", self.db).stdout)
        self.assertNotIn("images", self.run_cairn("collection", "list", self.db).stdout)

    def test_maintenance(self):
        self.import_records([{"id": i, "vector": [1, i, i * i]} for i in range(500)])
        self.assertIn("optimized default", self.run_cairn("optimize", self.db).stdout)
        self.run_cairn("rebuild", self.db)
        json.loads(self.run_cairn("stats", self.db, "--json").stdout)
        json.loads(self.run_cairn("stats", self.db, "-c", "default", "--json").stdout)
        self.assertTrue(self.run_cairn("stats", self.db).stdout)
        copy, other = str(self.folder / "copy.cairn"), str(self.folder / "other.cairn")
        self.run_cairn("backup", self.db, copy)
        self.run_cairn("backup", self.db, copy, status=1)
        self.run_cairn("restore", copy, other)
        self.run_cairn("restore", copy, other, status=1)
        self.assertEqual(self.run_cairn("export", other).stdout, self.run_cairn("export", self.db).stdout)
        done = self.run_cairn("verify", other)
        self.assertEqual(done.stdout, "")
        self.assertIn("is clean", done.stderr)

    def test_damage_is_found(self):
        self.import_records([{"id": i, "vector": [1, i], "text": f"some words {i}"} for i in range(2000)])
        copy = self.folder / "copy.cairn"
        self.run_cairn("backup", self.db, copy)
        content = bytearray(copy.read_bytes())
        at = content.find(b"some words 1234")
        self.assertGreater(at, 0)
        content[at] ^= 1
        copy.write_bytes(content)
        done = self.run_cairn("verify", copy, status=5)
        self.assertTrue(done.stdout)
        self.assertNotIn("some words", done.stdout)
        self.run_cairn("verify", copy, "--json", status=5)
        self.run_cairn("restore", copy, self.folder / "new.cairn", status=5)
        self.assertFalse((self.folder / "new.cairn").exists())

    def test_bench(self):
        numbers = self.json_of(
            "bench", "--rows", "1500", "--dim", "16", "--queries", "20", "--dir", self.folder, "--json"
        )[0]
        self.assertGreater(numbers["recall"], 0.8)
        self.assertGreater(numbers["search_qps"], 0)
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertIn(
            "recall@5",
            self.run_cairn("bench", "--rows", "100", "--dim", "4", "--queries", "5", "--k", "5").stdout,
        )


if __name__ == "__main__":
    CAIRN = os.path.abspath(sys.argv.pop(1))
    unittest.main()
