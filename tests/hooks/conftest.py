"""A client certificate that no server knows, for tests that only read it."""

from __future__ import annotations

import pytest

from demo.sandbox.certificates import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"), "client")
