"""An object store over the wire: moto's server as a process on 127.0.0.1, and what tests do to
it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
KEYS = {"AWS_ACCESS_KEY_ID": "key-of-the-test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test"}


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """The environment that reaches a server, which ends with this process."""
    command = [sys.executable, "-c", SERVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        port = next(
            line for line in lines if line.strip().isdecimal()
        ).strip()  # moto says that it starts
        try:
            yield {
                **KEYS,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        finally:
            server.kill()


def new_bucket() -> str:
    """A bucket in the store that the environment names."""
    from sparsetune.paths import resolve_place

    made = resolve_place(f"s3://bucket-{secrets.token_hex(4)}")
    made.fs.mkdir(made.path.rstrip("/"))
    return str(made).rstrip("/")


def keys(prefix: str) -> dict[str, bytes]:
    """Everything under a prefix: key without the prefix, and content."""
    from sparsetune.paths import resolve_place

    folder = resolve_place(prefix)
    found = folder.fs.find(folder.path)
    return {
        key.removeprefix(folder.path.rstrip("/") + "/"): folder.fs.cat_file(key) for key in found
    }


def environment(reaching: dict[str, str]) -> dict[str, str]:
    """For a child process."""
    return {**os.environ, **reaching}
