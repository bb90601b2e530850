from __future__ import annotations

import os

import pytest

from browser.conftest import browser as browser
from client.package import PackagesUnavailable, build


@pytest.fixture(scope="session")
def built_client() -> None:
    """The TypeScript client, built; in CI it must be possible."""
    try:
        build()
    except PackagesUnavailable as error:
        message = f"npm cannot install the client's packages: {error}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message.splitlines()[0])
