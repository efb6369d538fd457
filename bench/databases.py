# SPDX-License-Identifier: Apache-2.0
"""Make and drop the benchmark's databases on a MariaDB server.

Runs inside a service's environment (the benchmark itself has no database driver):
``python databases.py URL create|drop NAME``. The server's address comes from the URL in
``GLANCE_LITE_BENCH_MYSQL`` of the calling program, default root without password on
127.0.0.1:3306.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

DEFAULT_URL = 'mysql+pymysql://root@127.0.0.1:3306'


def server_url() -> str:
    """Return the URL of the database server, without a database name."""
    return os.environ.get('GLANCE_LITE_BENCH_MYSQL', DEFAULT_URL).rstrip('/')


def make(python: Path, name: str) -> str:
    """Make an empty database ``name`` (one of that name is dropped); return its URL."""
    _run(python, 'create', name)
    return f'{server_url()}/{name}?charset=utf8'


def drop(python: Path, name: str) -> None:
    """Drop the database ``name`` if it is there."""
    _run(python, 'drop', name)


def _run(python: Path, action: str, name: str) -> None:
    subprocess.run([str(python), __file__, server_url(), action, name], check=True)


def main(url: str, action: str, name: str) -> None:
    """Carry out one action with PyMySQL, which the environment's Python has."""
    import pymysql

    if not re.fullmatch(r'[a-z0-9_]+', name):
        raise SystemExit(f'not a database name: {name}')
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or '127.0.0.1',
        port=parts.port or 3306,
        user=unquote(parts.username or 'root'),
        password=unquote(parts.password or ''),
    )
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS {name}')
        if action == 'create':
            cursor.execute(f'CREATE DATABASE {name} CHARACTER SET utf8mb3')
    connection.close()


if __name__ == '__main__':
    main(*sys.argv[1:])
