"""An S3 API on loopback, for real over HTTP: moto's server in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import httpx

BUCKET = "stepwire"
URL = f"s3://{BUCKET}/some/prefix"


@dataclass(frozen=True)
class ObjectStorage:
    """A bucket, and the environment in which a process finds it."""

    endpoint: str

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def names(self) -> list[str]:
        """The keys of the bucket, without the prefix."""
        return [key.removeprefix("some/prefix/") for key in self._found("list-type=2", "Key")]

    def unfinished_uploads(self) -> list[str]:
        return self._found("uploads", "Key")

    def _found(self, query: str, tag: str) -> list[str]:
        answer = httpx.get(f"{self.endpoint}/{BUCKET}?{query}")
        root = ET.fromstring(answer.raise_for_status().text)  # noqa: S314 - our own server
        return [item.text or "" for item in root.iter() if item.tag.rpartition("}")[2] == tag]


@contextmanager
def running_object_storage() -> Iterator[ObjectStorage]:
    # Many packages, which an environment that runs only a part of the tests does not have.
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        storage = ObjectStorage(f"http://{host}:{port}")
        httpx.put(f"{storage.endpoint}/{BUCKET}").raise_for_status()
        yield storage
    finally:
        server.stop()
