"""Start a server from the command line, look at its documentation, stop it with SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time

import httpx
from demo import wait_for_ready


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fullon-example-") as folder:
        command = [sys.executable, "-m", "fullon_master_api", "demo", "--port", "0", "--data-dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = wait_for_ready(server)
            print(f"serving at {url}")
            for path in ("/docs", "/redoc", "/openapi.json"):
                answer = httpx.get(url + path, timeout=30)
                assert answer.status_code == 200, (path, answer.status_code)
                print(f"{path:14} {len(answer.content):8} bytes")
        finally:
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=30)
            if server.stdout is not None:
                server.stdout.close()
        assert code == 0, f"exit code was {code}, must be 0"
        print(f"stopped with code {code} after {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
