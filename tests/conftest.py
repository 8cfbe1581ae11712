"""Recorded data, where there is some: tests that need it find it through TRIMTAB_DATA and skip without.

Property tests have no deadline: a busy machine is no defect of the code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests.postgres import PostgresServer, find_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("trimtab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("trimtab")

BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data"

if "TRIMTAB_DATA" not in os.environ and BESIDE_THE_CHECKOUT.is_dir():
    os.environ["TRIMTAB_DATA"] = str(BESIDE_THE_CHECKOUT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server of this test process; skips where Postgres is not installed."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("Postgres is not installed (Debian: apt-get install postgresql)")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()
