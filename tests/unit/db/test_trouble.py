# SPDX-License-Identifier: Apache-2.0
"""Trouble of the database is told from faults of the work: by what real databases say."""

import contextlib
import errno
import functools
import os

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_db.sqlalchemy import exc_filters
from taskflow import exceptions as taskflow_exceptions

from glance_lite import exceptions
from glance_lite.db import engine, trouble
from glance_lite.db.trouble import Trouble
from tests import services

AWAY, BUSY, FULL = Trouble.AWAY, Trouble.BUSY, Trouble.FULL


@pytest.fixture(scope='module')
def databases(tmp_path_factory):
    """Return a function that returns a database of a kind with a table of two rows."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def find(kind):
            directory = tmp_path_factory.mktemp('db')
            url = stack.enter_context(services.database(kind, str(directory)))
            conf = cfg.ConfigOpts()
            engine.register_opts(conf)
            conf.set_override('connection', url, 'database')
            db = engine.Database.from_conf(conf)
            run(
                db,
                'CREATE TABLE pair (a INTEGER PRIMARY KEY, b INTEGER NOT NULL)',
                'INSERT INTO pair VALUES (1, 1), (2, 2)',
            )
            stack.callback(db.dispose)
            return db

        yield find


@pytest.fixture(params=services.KINDS)
def pair(request, databases):
    """Return a database with a table of two rows, one test for each kind."""
    db = databases(request.param)
    yield db
    db.dispose()  # of sessions with settings


@pytest.fixture
def on_postgresql(databases):
    db = databases('postgresql')
    yield db
    db.dispose()


@pytest.fixture
def on_mariadb(databases):
    db = databases('mariadb')
    yield db
    db.dispose()


@pytest.fixture(params=services.SERVERS)
def on_server(request, databases):
    return databases(request.param)


def run(db, *statements):
    """Run statements in one transaction, and wait for nothing."""
    with db.write_engine.begin() as session:
        for statement in statements:
            session.exec_driver_sql(statement)


def judge(call, *args):
    """Return what ``trouble_of`` says of the error that a call raises."""
    with pytest.raises(Exception) as caught:
        call(*args)
    found = trouble.trouble_of(caught.value)
    assert engine.is_outage(caught.value) == (found is not None)
    return found


@pytest.mark.parametrize(
    'statement',
    [
        'INSERT INTO pair VALUES (1, 3)',
        'INSERT INTO pair VALUES (3, NULL)',
        'INSERT INTO pair VALUES (3)',
        'SELECT * FROM pears',
        'SELEC',
    ],
)
def test_a_fault_of_the_work_is_none_of_the_database(pair, statement):
    assert judge(run, pair, statement) is None


@pytest.mark.parametrize(
    ('expected', 'statement'),
    [
        (AWAY, 'SELECT pg_terminate_backend(pg_backend_pid())'),
        (AWAY, 'SET TRANSACTION READ ONLY; DELETE FROM pair'),  # as on a standby
        (BUSY, 'SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)'),
    ],
)
def test_trouble_of_postgresql(on_postgresql, expected, statement):
    assert judge(run, on_postgresql, *statement.split('; ')) is expected


@pytest.mark.parametrize(
    ('expected', 'state'),
    [
        (AWAY, '08006'),  # connection_failure
        (AWAY, '25P03'),  # idle_in_transaction_session_timeout
        (AWAY, '57P01'),  # admin_shutdown
        (AWAY, '57P02'),  # crash_shutdown
        (AWAY, '57P03'),  # cannot_connect_now
        (AWAY, '58030'),  # io_error
        (BUSY, '40001'),  # serialization_failure
        (BUSY, '40P01'),  # deadlock_detected
        (BUSY, '53200'),  # out_of_memory
        (BUSY, '53300'),  # too_many_connections
        (BUSY, '55P03'),  # lock_not_available
        (FULL, '53100'),  # disk_full
        (None, '22012'),  # division_by_zero
        (None, '42501'),  # insufficient_privilege
        (None, 'XX000'),  # internal_error
    ],
)
def test_states_of_postgresql(on_postgresql, expected, state):
    statement = f"DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{state}' USING MESSAGE = 'trouble'; END $$"
    assert judge(run, on_postgresql, statement) is expected


@pytest.mark.parametrize(
    ('expected', 'statement'),
    [
        (AWAY, 'KILL CONNECTION_ID()'),
        (AWAY, 'START TRANSACTION READ ONLY; DELETE FROM pair'),
        (BUSY, 'SET STATEMENT max_statement_time = 0.001 FOR SELECT SLEEP(10)'),
        (
            FULL,
            'SET SESSION max_heap_table_size = 16384; '
            'CREATE TABLE heap (a VARCHAR(1000)) ENGINE = MEMORY; '
            'INSERT INTO heap SELECT seq FROM seq_1_to_1000',
        ),
    ],
)
def test_trouble_of_mariadb(on_mariadb, expected, statement):
    assert judge(run, on_mariadb, *statement.split('; ')) is expected


@pytest.mark.parametrize(
    ('expected', 'code', 'message'),
    [
        (AWAY, 1053, 'Server shutdown in progress'),
        (AWAY, 1290, 'The MariaDB server is running with the --read-only option'),
        (AWAY, 1927, 'Connection was killed'),
        (BUSY, 1040, 'Too many connections'),
        (BUSY, 1213, 'Deadlock found when trying to get lock; try restarting transaction'),
        (BUSY, 1226, "User 'x' has exceeded the 'max_user_connections' resource"),
        (BUSY, 3024, 'Query execution was interrupted'),
        (FULL, 1021, 'Disk full (x); waiting for someone to free some space... (errno: 28)'),
        (FULL, 1026, "Error writing file 'x' (errno: 28 No space left on device)"),
        (FULL, 1030, 'Got error 28 "No space left on device" from storage engine InnoDB'),
        (None, 1030, 'Got error 176 "Read page with wrong checksum" from storage engine Aria'),
        (None, 1153, "Got a packet bigger than 'max_allowed_packet' bytes"),
        (None, 1452, 'Cannot add or update a child row: a foreign key constraint fails'),
    ],
)
def test_codes_of_mariadb(on_mariadb, expected, code, message):
    quoted = message.replace("'", "''")
    statement = f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = '{quoted}'"
    assert judge(run, on_mariadb, statement) is expected


def test_a_lock_that_another_holds_is_busy(pair, tmp_path):
    now = {
        'postgresql': 'SET LOCAL lock_timeout = 1',
        'mysql': 'SET SESSION innodb_lock_wait_timeout = 0',
        'sqlite': 'SELECT 1',
    }[pair.engine.dialect.name]
    change = 'UPDATE pair SET b = 3 WHERE a = 1'
    other = pair
    if pair.is_embedded:  # a second writer that does not wait at all
        other = engine.Database(sa.create_engine(pair.engine.url, connect_args={'timeout': 0}))
        exc_filters.register_engine(other.engine)
    with pair.writer() as session:
        session.exec_driver_sql(change)
        assert judge(run, other, now, change) is BUSY
    other.dispose()


def test_a_server_that_is_not_there_is_away_and_may_come(on_server):
    with failed_connection(on_server.engine.url.set(port=1)) as error:
        assert trouble.trouble_of(error) is AWAY and trouble.may_pass(error)
        assert 'refused' in trouble.said(error) and '\n' not in trouble.said(error)


@pytest.mark.parametrize('wrong', [{'database': 'nowhere'}, {'username': 'nobody_known'}])
def test_a_server_that_refuses_us_is_away_and_does_not_come_by_waiting(on_server, wrong):
    with failed_connection(on_server.engine.url.set(**wrong, password='sesame')) as error:
        assert trouble.trouble_of(error) is AWAY and not trouble.may_pass(error)
        assert 'sesame' not in trouble.said(error)


@contextlib.contextmanager
def failed_connection(url):
    made = sa.create_engine(url, poolclass=sa.NullPool)
    exc_filters.register_engine(made)
    with pytest.raises(Exception) as caught:
        made.connect()
    yield caught.value


def sqlite(path):
    db = engine.Database(sa.create_engine(f'sqlite:///{path}', poolclass=sa.NullPool))
    exc_filters.register_engine(db.engine)
    return db


def test_a_full_sqlite_is_full(tmp_path):
    fill = 'INSERT INTO heap VALUES (randomblob(100000))'
    table = 'CREATE TABLE heap (a BLOB)'
    assert judge(run, sqlite(tmp_path / 'db'), table, 'PRAGMA max_page_count = 3', fill) is FULL


def test_a_sqlite_that_cannot_be_opened_or_written_is_away(tmp_path):
    assert judge(run, sqlite(tmp_path / 'nowhere' / 'db'), 'SELECT 1') is AWAY
    db = sqlite(tmp_path / 'db')
    run(db, 'CREATE TABLE heap (a BLOB)')
    assert judge(run, db, 'PRAGMA query_only = 1', 'INSERT INTO heap VALUES (1)') is AWAY


def test_a_pool_without_a_free_connection_is_busy():
    made = sa.create_engine(
        'sqlite://', poolclass=sa.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
    )
    with made.connect():
        assert judge(made.connect) is BUSY


def test_a_connection_that_is_used_on_after_it_broke_is_away(on_server):
    with on_server.engine.connect() as session:
        session.begin()
        session.invalidate()
        assert judge(session.exec_driver_sql, 'SELECT 1') is AWAY


def test_what_wraps_the_trouble_is_the_trouble(tmp_path):
    def in_taskflow():
        try:
            run(sqlite(tmp_path / 'nowhere' / 'db'), 'SELECT 1')
        except Exception:
            taskflow_exceptions.raise_with_cause(
                taskflow_exceptions.StorageFailure, 'Failed updating'
            )

    def in_a_plugin():
        try:
            run(sqlite(tmp_path / 'nowhere' / 'db'), 'SELECT 1')
        except Exception as error:
            raise RuntimeError('the image could not be saved') from error

    assert judge(in_taskflow) is AWAY
    assert judge(in_a_plugin) is AWAY


def test_the_nearest_error_of_the_database_decides(tmp_path):
    def fault_while_away():
        try:
            run(sqlite(tmp_path / 'nowhere' / 'db'), 'SELECT 1')
        except Exception:
            run(sqlite(tmp_path / 'db'), 'SELEC')

    assert judge(fault_while_away) is None


@pytest.mark.parametrize(
    'error',
    [
        None,
        ValueError('database is locked'),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        exceptions.StoreFull('There is no space left for the image data.'),
        exceptions.LeaseLost('j1'),
        taskflow_exceptions.StorageFailure('Failed updating'),
    ],
)
def test_other_errors_are_none_of_the_database(error):
    assert trouble.trouble_of(error) is None and not engine.is_outage(error)


def test_what_the_driver_said_has_no_statement_and_no_values(pair):
    with pytest.raises(Exception) as caught, pair.writer() as session:
        session.execute(sa.text('INSERT INTO pears VALUES (:a)'), {'a': 'my secret'})
    assert 'pears' in trouble.said(caught.value)
    assert 'secret' not in trouble.said(caught.value)
