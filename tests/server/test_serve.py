"""`cairn serve` as its users run it: start, keys, health, metrics, logs, sockets of systemd, the end.

Usage: test_serve.py PATH_TO_cairn [unittest's arguments]
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

CAIRN = None
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Server:
    """A running server; `lines` are those of its log, once it has ended."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1].get("event") == "ready":
                break
        self.port = self.lines[-1]["port"]

    def ask(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.text = answer.read().decode()
            return answer
        finally:
            connection.close()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.lines += [json.loads(line) for line in self.process.stderr]
        self.process.stderr.close()
        return self.process.wait(60)


class ServeTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cairn-serve-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.data = str(self.folder / "data")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("CAIRN_SERVE_", "LISTEN_"))}

    def start(self, *arguments, **environment):
        server = Server([CAIRN, "serve", "--data", self.data, "--port", "0", *arguments], env={**self.environment, **environment})
        self.addCleanup(server.process.kill)
        return server

    def fails(self, *arguments, **environment):
        done = subprocess.run([CAIRN, "serve", *arguments], env={**self.environment, **environment}, capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def new_key(self, role, *arguments):
        out = subprocess.run([CAIRN, "serve", "--new-key", role, *arguments], check=True, capture_output=True, text=True, timeout=60)
        key, line = out.stdout.splitlines()
        with open(self.folder / "keys", "a", encoding="utf-8") as keys:
            keys.write(line + "\n")
        return {"api-key": key}

    def test_health_and_the_end(self):
        server = self.start()
        self.assertTrue((self.folder / "data" / "memory.cairn").exists())
        for path in ["/", "/healthz", "/livez", "/readyz", "/metrics"]:
            self.assertEqual(server.ask("GET", path).status, 200, path)
            self.assertEqual(server.ask("HEAD", path).text, "")
        self.assertEqual(server.ask("GET", "/nothing").status, 404)
        self.assertEqual(server.ask("OPTIONS", "/collections").getheader("access-control-allow-origin"), None)
        self.assertEqual(server.ask("GET", "/../etc/passwd").status, 400)
        shutil.rmtree(self.data)
        self.assertEqual(server.ask("GET", "/livez").status, 200)
        self.until(lambda: server.ask("GET", "/readyz").status == 503)
        self.assertEqual(server.end(), 0)
        self.assertEqual(server.lines[-1]["event"], "stopped")

    def until(self, true):
        """What the server looks at once a second comes true."""
        end = time.monotonic() + 60
        while not true():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_readiness_is_looked_at_once_a_second(self):
        server = self.start()
        changes, begin = set(), time.monotonic()
        for _ in range(200):
            self.assertEqual(server.ask("GET", "/readyz").status, 200)
            changes.add(os.stat(self.data).st_mtime_ns)  # a file made there changes it
        self.assertLessEqual(len(changes), time.monotonic() - begin + 2)
        server.end()

    def test_keys_are_read_again(self):
        first = self.new_key("admin", "--key-name", "first")
        keys = self.folder / "keys"
        server = self.start("--keys", str(keys))
        second = self.new_key("read", "--key-name", "second")
        self.until(lambda: server.ask("GET", "/collections", headers=second).status == 200)
        self.assertEqual(server.ask("PUT", "/collections/a", "{}", second).status, 403)
        good = keys.read_text()
        keys.write_text("one two three\n")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(1.1)
        for key in (first, second):
            self.assertEqual(server.ask("GET", "/collections", headers=key).status, 200)
        keys.unlink()
        server.process.send_signal(signal.SIGHUP)
        self.assertEqual(server.ask("GET", "/collections", headers=first).status, 200)
        keys.write_text(good.splitlines()[1].replace(" read ", " admin ") + "\n")
        self.until(lambda: server.ask("GET", "/collections", headers=first).status == 401)
        self.assertEqual(server.ask("PUT", "/collections/a", "{}", second).status, 200)
        server.end()
        told = [line.get("message", "") for line in server.lines if line["level"] == "error"]
        self.assertTrue(any("the keys stay as they were" in t and "line 1: the role" in t for t in told), told)
        self.assertTrue(any("the keys stay as they were: cannot open" in t for t in told), told)

    def test_texts_by_an_endpoint(self):
        program = pathlib.Path(__file__).parent.parent / "embed" / "standin_server.py"
        with subprocess.Popen([sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as standin:
            port = int(standin.stdout.readline())
            url, key = f"http://127.0.0.1:{port}/key/a", {"CAIRN_EMBED_KEY": "sk-secret-1"}
            server = self.start("--embed-url", url, "--embed-models", "other,m", **key)
            ask = lambda method, path, body: server.ask(method, "/cairn/v1/collections" + path, json.dumps(body))
            self.assertEqual(ask("POST", "", {"name": "a", "model": "m", "metric": "l2"}).status, 201)
            self.assertEqual(json.loads(ask("GET", "/a", None).text)["spaces"][0]["dim"], 8)
            texts = ["one", "two words", "three more words"]
            self.assertEqual(ask("PUT", "/a/patterns", {"patterns": [{"id": i, "text": t} for i, t in enumerate(texts)]}).status, 200)
            for i, text in enumerate(texts):
                hits = json.loads(ask("POST", "/a/search", {"text": text, "k": 1}).text)["hits"]
                self.assertEqual([(hit["id"], hit["distance"]) for hit in hits], [(i, 0.0)])
            # A model that the server does not have, and one whose endpoint refuses.
            self.assertEqual(ask("POST", "", {"name": "b", "model": "unknown"}).status, 400)
            self.assertEqual(ask("POST", "", {"name": "b", "model": "unknown", "dim": 8}).status, 201)
            self.assertEqual(ask("POST", "/b/search", {"text": "x"}).status, 400)
            server.end()
            self.assertNotIn("sk-secret-1", json.dumps(server.lines))
            server = self.start("--embed-url", url, "--embed-models", "m", CAIRN_EMBED_KEY="wrong")
            refused = ask("POST", "/a/search", {"text": "one", "k": 1})
            self.assertEqual((refused.status, json.loads(refused.text)["error"]["status"]), (502, "EMBEDDER"))
            self.assertNotIn("wrong", refused.text)
            vector = {"vector": [3.0] * 8, "k": 1}
            self.assertEqual(ask("POST", "/a/search", vector).status, 200)  # by vector it goes on
            server.end()
            standin.stdin.close()
        self.assertIn("needs both embed_url and embed_models", self.fails("--data", self.data, "--embed-url", "http://127.0.0.1:1/"))

    def test_interrupts_end_it_too(self):
        self.assertEqual(self.start().end(signal.SIGINT), 0)

    def test_keys_roles_and_audit(self):
        read, write = self.new_key("read", "--key-name", "reader"), self.new_key("write", "--key-name", "w", "--key-collections", "notes")
        admin = self.new_key("admin")
        audit = self.folder / "audit"
        server = self.start("--keys", str(self.folder / "keys"), "--audit-log", str(audit))
        for path in ["/", "/healthz", "/livez", "/readyz"]:
            self.assertEqual(server.ask("GET", path).status, 200)
        refused = server.ask("GET", "/collections")
        self.assertEqual((refused.status, refused.getheader("content-type")), (401, "text/plain"))
        self.assertEqual(server.ask("GET", "/metrics").status, 401)
        self.assertEqual(server.ask("GET", "/collections", headers={"api-key": "cairn_wrong"}).status, 401)
        self.assertNotIn(server.ask("GET", "/metrics", headers=read).status, (401, 403))
        point = "/collections/notes/points"
        self.assertEqual(server.ask("PUT", point, "{}", read).status, 403)
        self.assertNotIn(server.ask("PUT", point + "?secret=x", "{}", write).status, (401, 403))
        self.assertEqual(server.ask("PUT", "/collections/other/points", "{}", write).status, 403)
        self.assertEqual(server.ask("DELETE", "/collections/notes", None, write).status, 403)
        bearer = {"Authorization": "Bearer " + admin["api-key"]}
        self.assertNotIn(server.ask("DELETE", "/collections/notes", None, bearer).status, (401, 403))
        server.end()
        told = [json.loads(line) for line in audit.read_text().splitlines()]
        self.assertEqual([(t["method"], t["path"], t["key"], t["status"] in (401, 403)) for t in told],
                         [("PUT", point, "reader", True), ("PUT", point, "w", False), ("PUT", "/collections/other/points", "w", True),
                          ("DELETE", "/collections/notes", "w", True), ("DELETE", "/collections/notes", "key", False)])
        self.assertEqual(audit.stat().st_mode & 0o777, 0o600)
        log = json.dumps(server.lines)
        for key in [read, write, admin]:
            self.assertNotIn(key["api-key"], log)
        self.assertNotIn("secret", log + audit.read_text())

    def test_keys_of_a_collection_are_held_to_it_in_bodies_too(self):
        admin, only = self.new_key("admin"), self.new_key("admin", "--key-collections", "mine,alias")
        server = self.start("--keys", str(self.folder / "keys"))
        for name in ["mine", "theirs"]:
            server.ask("PUT", f"/collections/{name}", '{"vectors":{"size":2,"distance":"Dot"}}', admin)
            server.ask("PUT", f"/collections/{name}/points", '{"points":[{"id":1,"vector":[0,1]}]}', admin)
        aliases = '{"actions":[{"create_alias":{"collection_name":"%s","alias_name":"alias"}}]}'
        query = '{"query":1,"lookup_from":{"collection":"%s"}}'
        self.assertEqual(server.ask("POST", "/collections/aliases", aliases % "theirs", only).status, 403)
        self.assertEqual(server.ask("POST", "/collections/aliases", aliases % "theirs", admin).status, 200)
        self.assertEqual(server.ask("GET", "/collections/alias", None, only).status, 403)
        self.assertEqual(server.ask("POST", "/collections/mine/points/query", query % "alias", only).status, 403)
        self.assertEqual(server.ask("POST", "/collections/mine/points/query", query % "mine", only).status, 200)
        self.assertEqual(json.loads(server.ask("GET", "/telemetry", None, only).text)["result"]["collections"], {"number_of_collections": 1})
        server.end()

    def test_other_methods_and_large_bodies(self):
        server = self.start("--body-max-mb", "1")
        for path in ["/", "/healthz", "/readyz", "/metrics"]:
            answer = server.ask("POST", path, "{}")
            self.assertEqual((answer.status, answer.getheader("allow")), (405, "GET, HEAD"), path)
        answer = server.ask("PUT", "/collections/a/points/search", "{}")
        self.assertEqual((answer.status, answer.getheader("allow")), (405, "POST, GET, HEAD"))
        answer = server.ask("PUT", "/collections/a/points", "x" * (1 << 20))
        self.assertEqual(answer.status, 400)
        answer = server.ask("PUT", "/collections/a/points", "x" * ((1 << 20) + 1))
        self.assertEqual((answer.status, answer.getheader("content-type")), (413, "application/json"))
        self.assertIn("error", json.loads(answer.text)["status"])
        server.end()

    def test_logs_carry_ids_and_traces(self):
        server = self.start()
        answer = server.ask("GET", "/healthz", headers={"x-request-id": "mine-1", "traceparent": TRACE})
        self.assertEqual(answer.getheader("x-request-id"), "mine-1")
        self.assertEqual(len(server.ask("GET", "/livez", headers={"x-request-id": "not\tmine"}).getheader("x-request-id")), 16)
        server.ask("GET", "/" + "long/" * 14 + "x" * 3000, headers={"traceparent": 'evil"'})
        server.end()
        told = [line for line in server.lines if line.get("event") == "request"]
        self.assertEqual((told[0]["id"], told[0]["traceparent"], told[0]["path"], told[0]["status"]), ("mine-1", TRACE, "/healthz", 200))
        self.assertEqual(len(told), 3)
        self.assertNotIn("traceparent", told[2])

    def test_the_log_of_requests_can_be_off_but_not_that_of_writes(self):
        server = self.start("--no-access-log")
        server.ask("GET", "/healthz")
        server.ask("PUT", "/collections/a", "{}")
        server.end()
        self.assertEqual([line["event"] for line in server.lines if "path" in line], ["write"])

    def test_metrics_count(self):
        server = self.start()
        for _ in range(3):
            server.ask("GET", "/healthz")
        server.ask("GET", "/%ff")
        text = server.ask("GET", "/metrics").text
        self.assertIn('cairn_http_requests_total{route="health",status="200"} 3\n', text)
        self.assertIn('cairn_http_requests_total{route="refused",status="400"} 1\n', text)
        self.assertIn('cairn_http_request_duration_seconds_count{route="health"} 3\n', text)
        self.assertIn("cairn_collections 0\ncairn_rows", text.replace("# HELP cairn_rows Rows of all collections.\n# TYPE cairn_rows gauge\n", ""))
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? [0-9.e+-]+)$')
        server.end()

    def test_metrics_see_rows(self):
        os.mkdir(self.data)
        db = self.data + "/memory.cairn"
        for text in ["one", "two"]:
            subprocess.run([CAIRN, "add", db, "--text", text], check=True, capture_output=True, timeout=60)
        server = self.start()
        self.assertRegex(server.ask("GET", "/metrics").text, r"\ncairn_rows 2\n")
        server.end()

    def test_own_interface(self):
        admin, read = self.new_key("admin"), self.new_key("read", "--key-collections", "notes")
        server = self.start("--keys", str(self.folder / "keys"), "--slow-ms", "0")

        def ask(method, path, body=None, key=admin, kind="application/json"):
            answer = server.ask(method, "/cairn/v1/" + path, body if body is None or isinstance(body, bytes) else json.dumps(body),
                                {**key, "Content-Type": kind})
            return answer.status, json.loads(answer.text) if answer.getheader("content-type") == "application/json" else answer.text

        self.assertEqual(server.ask("GET", "/cairn/v1/").status, 401)
        self.assertEqual(ask("POST", "collections", {"name": "notes"})[0], 201)
        self.assertEqual(ask("POST", "collections", {"name": "raw", "dim": 2, "metric": "l2"})[0], 201)
        note = {"id": "ci", "text": "the build cache is cold", "payload": {"n": 1}}
        self.assertEqual(ask("PUT", "collections/notes/patterns", note), (200, {"count": 1, "created": 1, "written": [{"id": "ci", "version": 1, "created": True}]}))
        self.assertEqual(ask("PUT", "collections/notes/patterns", {**note, "if_version": 7})[1]["error"]["version"], 1)
        status, found = ask("POST", "collections/notes/search", {"text": "cache", "with_pattern": True}, read)
        self.assertEqual((status, found["hits"][0]["pattern"]["payload"]), (200, {"n": 1}))
        self.assertEqual(ask("PUT", "collections/raw/patterns?first_id=5", struct.pack("<4f", 1, 2, 3, 4), kind="application/octet-stream"), (200, {"count": 2, "created": 2}))
        self.assertEqual(ask("POST", "collections/raw/search?k=1", struct.pack("<2f", 3, 4), kind="application/octet-stream")[1], {"hits": [{"id": 6, "score": 1.0, "distance": 0.0}]})
        self.assertEqual([ask("GET", "collections/raw", None, read)[0], ask("DELETE", "collections/notes", None, read)[0], ask("POST", "backup", {"name": "x"}, read)[0]], [403] * 3)
        self.assertEqual(ask("POST", "backup", {"name": "one"})[0], 201)
        self.assertTrue((self.folder / "data" / "backups" / "one.cairn").exists())
        self.assertEqual(ask("POST", "verify"), (200, {"clean": True, "findings": 0, "messages": []}))
        self.assertEqual([(s["collection"], s["k"]) for s in ask("GET", "slow")[1]["slow"]], [("raw", 1), ("notes", 10)])
        self.assertEqual([s["collection"] for s in ask("GET", "slow", None, read)[1]["slow"]], ["notes"])
        self.assertEqual(ask("GET", "openapi.json")[1]["openapi"], "3.1.0")
        # the same collection through Qdrant's dialect, dropped there, and made anew here
        self.assertEqual(server.ask("DELETE", "/collections/raw", headers=admin).status, 200)
        self.assertEqual(ask("GET", "collections/raw")[0], 404)
        self.assertEqual(ask("POST", "collections", {"name": "raw", "dim": 3})[0], 201)
        self.assertEqual(ask("POST", "collections/raw/patterns/count", {}), (200, {"count": 0}))
        self.assertEqual(server.end(), 0)

    def test_dashboard_files(self):
        self.new_key("read")
        server = self.start("--keys", str(self.folder / "keys"))  # the page holds no data: it needs no key
        types = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
        files = sorted((pathlib.Path(__file__).parents[2] / "server" / "dashboard").iterdir())
        self.assertGreater(len(files), 4)
        tags = set()
        for file in files:
            path = "/dashboard/" + file.name
            answer, head = server.ask("GET", path), server.ask("HEAD", path)
            self.assertEqual((answer.status, answer.text), (200, file.read_text(encoding="utf-8")), path)
            self.assertEqual((head.status, head.text, head.getheader("content-length")), (200, "", answer.getheader("content-length")), path)
            for it in [answer, head]:
                self.assertEqual(it.getheader("content-type"), types[file.suffix])
                self.assertIn("default-src 'self';", it.getheader("content-security-policy"))
                self.assertNotIn("unsafe", it.getheader("content-security-policy"))
                self.assertEqual((it.getheader("x-content-type-options"), it.getheader("cache-control")), ("nosniff", "no-cache"))
                self.assertEqual(it.getheader("etag"), answer.getheader("etag"))
            tag = answer.getheader("etag")
            tags.add(tag)
            for sent, status in [(tag, 304), (f'W/{tag}, "other"', 304), ("*", 304), ('"other"', 200), (tag[1:-1], 200), ("", 200)]:
                again = server.ask("GET", path, headers={"If-None-Match": sent})
                self.assertEqual((again.status, again.text == "", again.getheader("etag")), (status, status == 304, tag), sent)
            outside = re.findall(r"(?:https?:)?//[a-z][\w.]+", re.sub(r"//[ ].*|http://www.w3.org/2000/svg", "", answer.text))
            self.assertEqual(outside, [], path)
            self.assertIsNone(re.search(r"<script>|<style| style=|onerror=|innerHTML|outerHTML|insertAdjacentHTML|document.write|eval\(", answer.text), path)
        self.assertEqual(len(tags), len(files))
        page = server.ask("GET", "/dashboard").text
        self.assertEqual([server.ask("GET", path).text for path in ["/dashboard/", "/dashboard/index.html"]], [page, page])
        for path in re.findall(r'(?:href|src)="(/[^"#]*)"', page):
            self.assertEqual(server.ask("GET", path).status, 200, path)
        server.end()

    def test_dashboard_refusals(self):
        server = self.start()
        for path in ["/dashboard/..", "/dashboard/../healthz", "/dashboard/%2e%2e/healthz", "/dashboard/app.js%00"]:
            self.assertEqual(server.ask("GET", path).status, 400, path)
        for path in ["/dashboard/..%2fapp.js", "/dashboard/nothing.js", "/dashboard/app.js/app.js", "/dashboard/APP.JS",
                     "/dashboard/%2fetc%2fpasswd", "/dashboards"]:
            self.assertEqual(server.ask("GET", path).status, 404, path)
        self.assertEqual(server.ask("GET", "/dashboard/nothing.js").getheader("x-content-type-options"), "nosniff")
        for path in ["/dashboard", "/dashboard/app.js"]:
            answer = server.ask("POST", path, "{}")
            self.assertEqual((answer.status, answer.getheader("allow")), (405, "GET, HEAD"))
        server.end()

    def test_live_figures(self):
        server = self.start()
        api = "/cairn/v1/collections"
        server.ask("POST", api, '{"name":"a","dim":2}')
        server.ask("PUT", api + "/a/patterns", '{"id":1,"vector":[1,2]}')
        for _ in range(3):
            server.ask("POST", api + "/a/search", '{"vector":[1,2]}')
        server.ask("GET", api + "/a/patterns/1?id_type=u64")
        for path in ["stats", "slow", "collections/a/stats", "stats/live"]:  # what a dashboard asks for is not what it shows
            self.assertEqual(server.ask("GET", "/cairn/v1/" + path).status, 200)
        for path in ["recall", "projection"]:
            self.assertEqual(server.ask("POST", f"{api}/a/{path}").status, 200)
        until = time.monotonic() + 60
        while True:
            live = json.loads(server.ask("GET", "/cairn/v1/stats/live").text)
            counted = {name: sum(seconds) for name, seconds in live["history"].items()}
            if counted["query"] > 0 and counted["read"] > 0 or time.monotonic() > until:
                break
            time.sleep(0.1)
        self.assertEqual(counted, {"query": 3, "read": 1, "write": 1, "admin": 1})
        self.assertGreater(live["classes"]["query"]["p99_ms"], 0)
        self.assertEqual((live["window_s"], live["classes"]["query"]["failed"]), (10, 0))
        self.assertGreaterEqual(live["connections"], 1)
        server.end()

    def test_cors_is_for_one_origin(self):
        server = self.start("--cors", "https://a.example")
        answer = server.ask("OPTIONS", "/collections/a/points", headers={"Origin": "https://b.example"})
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.getheader("access-control-allow-origin"), "https://a.example")
        self.assertIn("api-key", answer.getheader("access-control-allow-headers"))
        self.assertEqual(server.ask("GET", "/healthz").getheader("access-control-allow-origin"), "https://a.example")
        server.end()

    def test_settings_from_file_environment_and_command_line(self):
        config = self.folder / "server.conf"
        config.write_text(f"data = {self.data}\nport = 1\naccess_log = false\ncors = https://file.example\n", encoding="utf-8")
        server = Server([CAIRN, "serve", "--config", str(config), "--port", "0"],
                        env={**self.environment, "CAIRN_SERVE_CORS": "https://environment.example", "CAIRN_SERVE_PORT": "2"})
        self.addCleanup(server.process.kill)
        self.assertEqual(server.ask("GET", "/").getheader("access-control-allow-origin"), "https://environment.example")
        server.end()
        self.assertEqual([line for line in server.lines if line.get("event") == "request"], [])

    def test_what_is_refused_at_the_start(self):
        self.assertIn("data", self.fails())
        self.assertIn("0.0.0.0", self.fails("--data", self.data, "--host", "0.0.0.0"))
        self.assertIn("/nowhere", self.fails("--data", self.data, "--keys", "/nowhere"))
        self.assertIn("/nowhere", self.fails("--data", self.data, "--tls-cert", "/nowhere", "--tls-key", "/nowhere"))
        self.assertIn("/nowhere/data", self.fails("--data", "/nowhere/data"))
        self.assertIn("nonsense", self.fails("--data", self.data, CAIRN_SERVE_PORT="nonsense"))
        self.assertIn("owner", self.fails("--new-key", "owner"))
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        self.assertIn("address already in use", self.fails("--data", self.data, "--port", str(taken.getsockname()[1])))

    def test_sockets_and_readiness_of_systemd(self):
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notified.close)
        notified.bind(str(self.folder / "notify"))
        notified.settimeout(60)
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        command = f'exec 3<&{listening.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --data "$1" --port 1'
        server = Server(["bash", "-c", command, CAIRN, self.data], pass_fds=[listening.fileno()],
                        env={**self.environment, "NOTIFY_SOCKET": str(self.folder / "notify")})
        self.addCleanup(server.process.kill)
        listening.close()
        self.assertEqual(server.port, port)
        self.assertEqual(server.ask("GET", "/readyz").status, 200)
        self.assertEqual(notified.recv(100), b"READY=1")
        server.end()
        self.assertEqual(notified.recv(100), b"STOPPING=1")

    def test_given_sockets_are_not_open_to_all_either(self):
        listening = socket.create_server(("0.0.0.0", 0))
        self.addCleanup(listening.close)
        command = f'exec 3<&{listening.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve --data "$1"'
        done = subprocess.run(["bash", "-c", command, CAIRN, self.data], pass_fds=[listening.fileno()], env=self.environment,
                              capture_output=True, text=True, timeout=60)
        self.assertIn("0.0.0.0", done.stderr)
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    CAIRN = sys.argv.pop(1)
    unittest.main()
