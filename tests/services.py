# SPDX-License-Identifier: Apache-2.0
"""Where the real services of the tests are, and what to do when one is not there.

A database of its own is made for each test and dropped after it.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

#: Set in CI: a service that is missing then fails the test instead of skipping it.
REQUIRED = os.environ.get('GLANCE_LITE_REQUIRE_SERVICES') == '1'

#: Kind of database -> (variable, default URL of a server, the Debian package that brings it).
SERVERS = {
    'postgresql': (
        'GLANCE_LITE_TEST_POSTGRESQL',
        'postgresql+psycopg://postgres@127.0.0.1:5432/postgres',
        'postgresql',
    ),
    'mariadb': (
        'GLANCE_LITE_TEST_MARIADB',
        'mysql+pymysql://root@127.0.0.1:3306/mysql',
        'mariadb-server',
    ),
}
KINDS = ('sqlite', *SERVERS)


def missing(reason: str) -> None:
    """Skip the test for want of a service, or fail it where services are required."""
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def database(kind: str, directory: str) -> Iterator[str]:
    """Yield the URL of a new, empty database of this kind."""
    if kind == 'sqlite':
        yield f'sqlite:///{directory}/{uuid.uuid4().hex}.sqlite'
        return
    variable, default, package = SERVERS[kind]
    url = sa.make_url(os.environ.get(variable, default))
    name = f'glance_lite_test_{uuid.uuid4().hex[:12]}'
    engine = sa.create_engine(url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE {name}')
    except sa.exc.OperationalError as error:
        missing(
            f'No {kind} answers at {url.host}:{url.port}. Install and start it '
            f'(apt install {package}), or set {variable} to the URL of one. ({error.orig})'
        )
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            if kind == 'postgresql':
                connection.exec_driver_sql(f'DROP DATABASE {name} WITH (FORCE)')
            else:
                connection.exec_driver_sql(f'DROP DATABASE {name}')
