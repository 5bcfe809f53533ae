#!/usr/bin/env python3
"""Runs a client against `cairn serve` on a free port and an empty folder, both gone afterwards.

    with_server.py PATH_TO_cairn COMMAND...            COMMAND... URL
    with_server.py --restart PATH_TO_cairn COMMAND...  COMMAND... URL write, then, the server started anew, COMMAND... URL read

Its exit status is that of the first command that fails; 1 when the server ends badly.
"""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from serving import Serving  # noqa: E402


def main(arguments):
    restart = arguments[0] == "--restart"
    cairn, *command = arguments[restart:]
    with tempfile.TemporaryDirectory(prefix="cairn-client-") as folder:
        for phase in ["write", "read"] if restart else [None]:
            server = (Serving(cairn, folder) if phase != "read" else server).start()
            try:
                status = subprocess.run([*command, server.url, *([phase] if phase else [])], check=False).returncode
            finally:
                ended = server.end()
            if status != 0 or ended != 0:
                return status or 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
