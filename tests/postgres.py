"""A real Postgres server for tests: its own cluster in a temporary folder, reached by a Unix socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from trimtab.storage.postgres import open_postgres

__all__ = ["PostgresServer", "find_binaries"]

_SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",  # the machine does not lose power in a test, and Postgres alone is killed
    "max_connections": "300",
    "shared_buffers": "32MB",
}
_TEMPLATE = "trimtab_template"


def find_binaries() -> Path | None:
    """Return where `initdb` and `pg_ctl` are."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists()), None)


class PostgresServer:
    """Postgres refuses to run as root: there it runs as the user `postgres` that its package makes."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="trimtab-postgres-"))
        self._numbers = count()
        self._as_user: list[str] = []
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            self.user = "postgres"
            shutil.chown(self._folder, self.user)
            self._as_user = ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", "--"]
        self._folder.chmod(0o755)
        self._run("initdb", "--auth=trust", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8", "-D", self._data)
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in _SETTINGS.items())
            file.write(f"unix_socket_directories = '{self._folder}'\n")

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        """Start, and return when it takes connections."""
        self._run("pg_ctl", "start", "--wait", "-D", self._data, "-l", str(self._folder / "log"))

    def stop(self, *, how: str = "fast") -> None:
        """Stop: `immediate` is a crash, which the next start recovers from."""
        self._run("pg_ctl", "stop", "--wait", "-m", how, "-D", self._data)

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        name = f"test_{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def new_store_url(self) -> str:
        """Return the URL of a database that was migrated already: as `open_postgres` leaves it, but in a moment."""
        if not self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{_TEMPLATE}'").strip():
            self._sql(f"CREATE DATABASE {_TEMPLATE}")
            open_postgres(self.url(_TEMPLATE)).close()
        name = f"test_{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{self.user}@/{database}?host={self._folder}"

    def remove(self) -> None:
        """Stop it and delete everything."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self.stop(how="immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sql(self, statement: str) -> str:
        arguments = ("--no-psqlrc", "-qAt", "-h", str(self._folder), "-d", "postgres", "-c", statement)
        return self._run("psql", *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        command = [*self._as_user, str(self._binaries / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")
        return done.stdout
