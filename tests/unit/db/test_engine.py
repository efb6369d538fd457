# SPDX-License-Identifier: Apache-2.0
"""Transactions in times of trouble: waited for, begun again, and never done twice."""

import collections
import contextlib
import functools
import socket
import threading
import time

import pytest
import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db import connecting, engine, trouble
from tests import services


def make_db(url, **options):
    conf = cfg.ConfigOpts()
    engine.register_opts(conf)
    conf.set_override('connection', url, 'database')
    for name, value in options.items():
        conf.set_override(name, value, 'database')
    return engine.Database.from_conf(conf)


@pytest.fixture(scope='module')
def urls(tmp_path_factory):
    """Return a function that returns the URL of a database of a kind, with a table."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def find(kind):
            directory = tmp_path_factory.mktemp('db')
            url = stack.enter_context(services.database(kind, str(directory)))
            with sa.create_engine(url, poolclass=sa.NullPool).begin() as session:
                session.exec_driver_sql('CREATE TABLE marks (a INTEGER)')
            return url

        yield find


@contextlib.contextmanager
def opened(url):
    db = make_db(url)
    yield db
    with db.writer() as session:
        session.exec_driver_sql('DELETE FROM marks')
    db.dispose()


@pytest.fixture(params=services.KINDS)
def db(request, urls):
    with opened(urls(request.param)) as found:
        yield found


@pytest.fixture(params=services.SERVERS)
def server_db(request, urls):
    with opened(urls(request.param)) as found:
        yield found


def mark(session):
    session.exec_driver_sql('INSERT INTO marks VALUES (1)')
    return 'marked'


def marks(db):
    with db.reader() as session:
        return session.scalar(sa.text('SELECT COUNT(*) FROM marks'))


def is_marked(session):
    return session.scalar(sa.text('SELECT COUNT(*) FROM marks')) > 0


def name_of(session):
    """Return how the server calls the connection of a session."""
    ask = {'postgresql': 'SELECT pg_backend_pid()', 'mysql': 'SELECT CONNECTION_ID()'}
    return session.scalar(sa.text(ask[session.dialect.name]))


def cut(db, name):
    """Let the server close a connection, and see it done."""
    end, look = {
        'postgresql': (
            'SELECT pg_terminate_backend({})',
            'SELECT COUNT(*) FROM pg_stat_activity WHERE pid = {}',
        ),
        'mysql': ('KILL {}', 'SELECT COUNT(*) FROM information_schema.processlist WHERE id = {}'),
    }[db.engine.dialect.name]
    other = sa.create_engine(db.engine.url, poolclass=sa.NullPool, isolation_level='AUTOCOMMIT')
    with other.connect() as session:
        session.exec_driver_sql(end.format(name))
        while session.scalar(sa.text(look.format(name))):
            pass


def break_at_commit(db, times=1):
    """Do the next commits, and break their connections before they are answered."""
    left = [times]

    @sa.event.listens_for(db.write_engine, 'commit')
    def commit(session):
        if left[0]:
            left[0] -= 1
            connection = session.connection.dbapi_connection
            connection.commit()
            connection.close()


def test_work_is_begun_again_when_its_connection_breaks(server_db):
    tries = []

    def work(session):
        tries.append(1)
        result = mark(session)
        if len(tries) == 1:
            cut(server_db, name_of(session))
        session.exec_driver_sql('SELECT 1')
        return result

    assert server_db.transact(work) == 'marked'
    assert (len(tries), marks(server_db)) == (2, 1)


def test_work_is_begun_again_when_it_lost_to_another(db):
    tries = []

    def work(session):
        tries.append(1)
        if len(tries) < 3:
            raise db_exception.DBDeadlock
        return mark(session)

    assert db.transact(work) == 'marked'
    assert (len(tries), marks(db)) == (3, 1)


def test_a_fault_of_the_work_is_not_tried_again(db):
    tries = []

    def work(session):
        tries.append(1)
        mark(session)
        session.exec_driver_sql('SELEC')

    with pytest.raises(Exception) as caught:
        db.transact(work)
    assert not engine.is_outage(caught.value)
    assert (len(tries), marks(db)) == (1, 0)


def test_a_commit_whose_answer_is_lost_is_not_done_again(server_db):
    break_at_commit(server_db)
    assert server_db.transact(mark, done=is_marked) == 'marked'
    assert marks(server_db) == 1


def test_a_commit_whose_answer_is_lost_is_in_doubt_if_nobody_can_look(server_db):
    break_at_commit(server_db)
    with pytest.raises(trouble.CommitUnknown) as caught:
        server_db.transact(mark)
    assert engine.is_outage(caught.value)
    assert marks(server_db) == 1


def test_a_commit_that_did_not_come_to_pass_is_tried_again(server_db):
    tries = []

    def work(session):
        tries.append(1)
        result = mark(session)
        if len(tries) == 1:
            cut(server_db, name_of(session))
        return result

    assert server_db.transact(work, done=is_marked) == 'marked'
    assert (len(tries), marks(server_db)) == (2, 1)


def test_a_pooled_connection_that_the_server_closed_is_not_used(server_db):
    with server_db.reader() as session:
        name = name_of(session)
    cut(server_db, name)
    for open_one in (server_db.reader, server_db.writer):
        with open_one() as session:
            assert name_of(session) != name


def test_a_pooled_connection_that_lives_is_used_again(server_db):
    made = []
    sa.event.listen(server_db.engine, 'connect', lambda *_: made.append(1))
    server_db.dispose()
    for _ in range(5):
        with server_db.reader() as session:
            session.exec_driver_sql('SELECT 1')
    assert len(made) == 1


def test_a_connection_to_a_silent_host_breaks_by_itself(server_db):
    with server_db.engine.connect() as session:
        connection = session.connection.dbapi_connection
        with socket.socket(fileno=socket.dup(connecting.socket_of(connection).fileno())) as ours:
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            silence = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert silence == 30_000


class Away:
    """Lets a database be away until it is back: it is looked for at a port that nobody has."""

    def __init__(self, db):
        self.back = threading.Event()
        self.looks: collections.Counter[int] = collections.Counter()
        self.waiting = threading.Semaphore(0)
        db.dispose()
        self.dialect = db.engine.dialect
        # on its class, to be asked before what the engine itself connects with
        sa.event.listen(type(self.dialect), 'do_connect', self._connect)

    def _connect(self, dialect, record, args, options):
        if dialect is self.dialect and not self.back.is_set():
            options['port'] = 1
            self.looks[threading.get_ident()] += 1
            if self.looks[threading.get_ident()] == 2:
                self.waiting.release()


def test_a_database_that_is_away_is_waited_for(server_db):
    away = Away(server_db)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(server_db.transact(mark))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert away.waiting.acquire(timeout=10)
    assert found == []
    away.back.set()
    for thread in threads:
        thread.join(10)
    assert found == ['marked'] * 3 and marks(server_db) == 3


def test_a_database_that_stays_away_is_not_waited_for_too_long(server_db):
    away = Away(server_db)
    began = time.monotonic()
    with pytest.raises(Exception) as caught:
        server_db.transact(mark, patience=0.1)
    assert engine.is_outage(caught.value) and 'refused' in trouble.said(caught.value)
    assert time.monotonic() - began < 5
    away.back.set()


def test_only_so_many_wait_that_others_can_still_be_answered(server_db):
    away = Away(server_db)
    threads = [
        threading.Thread(target=server_db.transact, args=(mark,))
        for _ in range(engine.MOST_WAITING)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert away.waiting.acquire(timeout=10)
    with pytest.raises(Exception) as caught, server_db.reader():
        pass
    assert engine.is_outage(caught.value)
    away.back.set()
    for thread in threads:
        thread.join(10)
    assert marks(server_db) == engine.MOST_WAITING


def test_a_start_without_a_database_says_so(server_db):
    nobody = server_db.engine.url.set(port=1).render_as_string(hide_password=False)
    with pytest.raises(exceptions.ConfigError, match=r'cannot be used: .*refused'):
        make_db(nobody, max_retries=2, retry_interval=0)


@pytest.mark.parametrize('wrong', [{'database': 'nowhere'}, {'username': 'nobody_known'}])
def test_a_start_with_a_wrong_name_says_so_at_once(server_db, wrong):
    refused = server_db.engine.url.set(**wrong, password='sesame')
    with pytest.raises(exceptions.ConfigError, match='cannot be used') as caught:
        make_db(refused.render_as_string(hide_password=False), max_retries=-1, retry_interval=60)
    assert 'sesame' not in caught.value.message


def test_text_of_all_the_world_comes_back(db):
    with db.writer() as session:
        session.exec_driver_sql('CREATE TABLE words (a VARCHAR(20))')
    with db.writer() as session:
        session.execute(sa.text('INSERT INTO words VALUES (:a)'), {'a': 'Žluťoučký 💿'})
        assert session.scalar(sa.text('SELECT a FROM words')) == 'Žluťoučký 💿'
        session.exec_driver_sql('DROP TABLE words')


def test_what_was_left_open_is_rolled_back(db):
    connection = db.engine.raw_connection()
    cursor = connection.cursor()
    if db.engine.dialect.name != 'postgresql':
        cursor.execute('BEGIN')  # the driver of PostgreSQL does so by itself
    cursor.execute('INSERT INTO marks VALUES (1)')
    connection.close()
    assert marks(db) == 0


def test_reading_is_begun_again_when_its_connection_breaks(server_db):
    tries = []

    def work(session):
        tries.append(1)
        if len(tries) == 1:
            cut(server_db, name_of(session))
        return session.scalar(sa.text('SELECT 7'))

    assert server_db.read(work) == 7
    assert len(tries) == 2


def test_what_was_read_counts_if_the_connection_breaks_afterwards(server_db):
    with server_db.reader() as session:
        found = session.scalar(sa.text('SELECT 7'))
        cut(server_db, name_of(session))
    assert found == 7


def test_the_connections_of_a_process_share_the_certificates_of_the_host(urls):
    db = make_db(urls('mariadb'))
    with db.reader() as one, db.reader() as other:
        assert one.connection.driver_connection is not other.connection.driver_connection
        assert one.connection.driver_connection.ctx is other.connection.driver_connection.ctx
    db.dispose()


def test_options_for_tls_are_obeyed(urls):
    with pytest.raises(exceptions.ConfigError, match=r'SSL|TLS|certificate'):
        make_db(urls('mariadb') + '?ssl_verify_cert=true', max_retries=1)


@pytest.mark.parametrize('kind', services.SERVERS)
def test_who_only_reads_is_in_no_transaction(urls, kind):
    def in_transaction(session):
        raw = session.connection.dbapi_connection
        if kind == 'mariadb':
            return bool(raw.server_status & 1)
        return raw.info.transaction_status.name != 'IDLE'

    with opened(urls(kind)) as db:
        for _ in range(2):  # on the same connection of the pool
            with db.reader() as session:
                session.exec_driver_sql('SELECT a FROM marks').all()
                assert not in_transaction(session)
            with db.writer() as session:
                session.exec_driver_sql('INSERT INTO marks VALUES (1)')
                assert in_transaction(session)
        with db.reader() as session:
            assert len(session.exec_driver_sql('SELECT a FROM marks').all()) == 2
