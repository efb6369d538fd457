# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a configuration and a database of their own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from glance_lite import configuration
from glance_lite.db import engine
from tests import contract, services

# a shell ignores Ctrl-C for what it runs in the background, and the programs that tests start and
# interrupt would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Judge the run by what the API documents."""
    config.pluginmanager.register(contract.Plugin(config))


@pytest.fixture(scope='session')
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Migrated]:
    """Yield databases that have the current schema already."""
    directory = tmp_path_factory.mktemp('migrated')

    def conf_of(url: str) -> cfg.ConfigOpts:
        path = directory / 'database.conf'
        path.write_text(f'[database]\nconnection = {url}\n')
        conf = cfg.ConfigOpts()
        configuration.load(conf, files=[str(path)])
        return conf

    found = services.Migrated(conf_of, directory)
    yield found
    found.close()


@pytest.fixture
def make_conf(tmp_path: Path, migrated: services.Migrated) -> Callable[..., cfg.ConfigOpts]:
    """Return a function that loads a fresh configuration: two file stores and SQLite.

    ``extra`` is text for the end of the file, ``connection`` another database.
    """

    def make(extra: str = '', connection: str | None = None, stores: str = 'fast:file, cold:file'):
        path = tmp_path / 'glance-api.conf'
        own = tmp_path / 'db.sqlite'
        if connection is None and not own.exists():
            migrated.copy_sqlite(own)
        path.write_text(
            f'[DEFAULT]\nenabled_backends = {stores}\n'
            f'node_staging_uri = file://{tmp_path}/staging\n'
            '[glance_store]\ndefault_backend = fast\n'
            f'[fast]\nfilesystem_store_datadir = {tmp_path}/fast\n'
            f'[cold]\nfilesystem_store_datadir = {tmp_path}/cold\n'
            f"[database]\nconnection = {connection or f'sqlite:///{own}'}\n"
            '[conductor]\npoll_interval = 0.02\n' + extra
        )
        conf = cfg.ConfigOpts()
        configuration.load(conf, files=[str(path)])
        return conf

    return make


@pytest.fixture
def conf(make_conf: Callable[..., cfg.ConfigOpts]) -> cfg.ConfigOpts:
    """Return a fresh configuration on SQLite."""
    return make_conf()


@pytest.fixture(params=services.KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a new database without tables, one test for each kind."""
    with services.database(request.param, str(tmp_path)) as url:
        yield url


@pytest.fixture(params=services.KINDS)
def database_url(
    request: pytest.FixtureRequest, migrated: services.Migrated, tmp_path: Path
) -> Iterator[str]:
    """Yield the URL of a database with the current schema, one test for each kind."""
    with migrated.lend(request.param, str(tmp_path)) as url:
        yield url


@pytest.fixture
def empty_db(
    empty_database_url: str, make_conf: Callable[..., cfg.ConfigOpts]
) -> Iterator[engine.Database]:
    """Yield a database without tables, one test for each kind."""
    db = engine.Database.from_conf(make_conf(connection=empty_database_url))
    yield db
    db.dispose()


@pytest.fixture
def any_db(
    database_url: str, make_conf: Callable[..., cfg.ConfigOpts]
) -> Iterator[engine.Database]:
    """Yield a database with the current schema, one test for each kind."""
    db = engine.Database.from_conf(make_conf(connection=database_url))
    yield db
    db.dispose()
