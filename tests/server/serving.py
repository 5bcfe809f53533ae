"""A running `cairn serve`, for tests that need its URL, its end and its start over."""

import json
import os
import subprocess
import time


class Serving:
    """Serves `folder` on a free port; a later start of the same object takes the same one, so that URLs stay good."""

    def __init__(self, cairn, folder, *arguments):
        self.command = [cairn, "serve", "--data", os.path.join(folder, "data"), "--no-access-log", *arguments]
        self.log = os.path.join(folder, "server.log")
        self.port = 0
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("CAIRN_SERVE_", "LISTEN_"))}
        with open(self.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen([*self.command, "--port", str(self.port)], stderr=log, env=environment)
        while not self._ready(begin):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self._lines(begin)}")
            time.sleep(0.01)
        return self

    def _lines(self, begin):
        with open(self.log, "rb") as log:
            log.seek(begin)
            return log.read().decode().split("\n")

    def _ready(self, begin):
        for line in self._lines(begin)[:-1]:  # the last one is not whole yet
            if '"event":"ready"' in line:
                self.port = json.loads(line)["port"]
                return True
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        return self.process.wait(60)
