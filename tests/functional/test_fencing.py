# SPDX-License-Identifier: Apache-2.0
"""A conductor, or an API, stands still for longer than it may and comes back when others went on.

It writes nothing more for what it lost: not into the database, not into staging, not into a store.
"""

import contextlib
import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tests import services
from tests.functional.faulty import arm
from tests.functional.hosts import at_once, freeze, hosts, is_frozen, thaw
from tests.functional.processes import wait_for
from tests.functional.sources import source

DATA = os.urandom(300_000)
SHA512 = hashlib.sha512(DATA).hexdigest()
STEPS = 'glance_lite.image_import.steps'
FILES = 'glance_lite.stores.filesystem:FileStore'
DIRECT, WEB = 'glance-direct', 'web-download'
IN_TRANSACTION = 'glance_lite.db.images:set_locations'

#: Where a conductor is stopped -> the method of its import.
PLACES = {
    # before what it looks at first, and before what it removes of earlier attempts
    f'{STEPS}.use_staged:UseStaged.execute': DIRECT,
    f'{STEPS}.use_staged:UseStaged._lend': DIRECT,
    f'{STEPS}.download:Download._clear': WEB,
    f'{STEPS}.download:Download._receive': WEB,
    f'{STEPS}.verify_staged:VerifyStaged.execute': DIRECT,
    f'{STEPS}.measure_data:MeasureData.execute': WEB,
    # before it begins to store, stores, and names what it stored
    f'{STEPS}.copy_to_store:CopyToStore.execute': DIRECT,
    f'{FILES}.discard_attempts': WEB,
    f'{FILES}.put_file': WEB,
    f'{FILES}.publish': DIRECT,
    # before it makes the image active, when it has, and when it clears up after that
    'glance_lite.image_import.publishing:publish': DIRECT,
    f'{STEPS}.delete_staged:DeleteStaged.execute': DIRECT,
    f'{STEPS}.complete_task:complete': WEB,
    # in the middle of a transaction
    IN_TRANSACTION: WEB,
    # before it notes how far the flow is
    'glance_lite.conductor.persistence:Journal._write': WEB,
}
#: Where a conductor is stopped that undoes an import.
UNDOING = {
    'glance_lite.conductor.outcome:_remove_bytes': DIRECT,
    f'{STEPS}.download:Download.revert': WEB,
    'glance_lite.stores.staging:StagingArea.remove_all': WEB,
}
#: Places that are tried on every kind of database.
CHOSEN = [place for place in PLACES if place.endswith(('_receive', 'publish'))]
OTHERS = [place for place in PLACES if place not in (*CHOSEN, IN_TRANSACTION)]


def on(*kinds):
    """Run a test on these kinds of databases; always in the same order, to start few processes."""
    return pytest.mark.parametrize('stage', kinds, indirect=True)


class Stage:
    """Two hosts that share a staging directory; the conductor of A can be stopped at places."""

    def __init__(self, both, web, engine):
        self.both, self.web, self.engine = both, web, engine
        self.a, self.b = both.all

    @contextlib.contextmanager
    def only(self, host):
        """Let only the conductor of this host claim anything, while the block runs."""
        other = self.b if host is self.a else self.a
        self.freeze(other.conductor)
        try:
            yield
        finally:
            thaw(other.conductor)

    def freeze(self, conductor):
        """Have a conductor stand still, but not while it holds SQLite's one lock."""
        freeze(conductor)
        while self.is_locked():
            thaw(conductor)
            freeze(conductor)

    @contextlib.contextmanager
    def stopped(self, place):
        """Give an image whose import A has begun; A stands still at a place during the block."""
        with self.only(self.a):
            image_id = self.stop_at(place)
            while self.is_locked():  # another thread of A stopped in the middle of a write
                thaw(self.a.conductor)
                self.check_active(image_id)
                image_id = self.stop_at(place)
        try:
            yield image_id
        finally:
            thaw(self.a.conductor)

    def stop_at(self, place):
        """Have A begin an import and stop in it; return its image."""
        arm(self.both.folder, place)
        image_id = self.start_import(PLACES[place])
        wait_for(lambda: is_frozen(self.a.conductor), 10, f'a stop at {place}')
        return image_id

    def is_locked(self):
        """Whether nobody can write: SQLite has one lock for all, and ends no transaction."""
        if self.engine.dialect.name != 'sqlite':
            return False
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql('PRAGMA busy_timeout = 500')
                connection.exec_driver_sql('BEGIN IMMEDIATE')
        except sa.exc.OperationalError:
            return True
        return False

    def start_import(self, method, path='/disk'):
        image_id = self.b.create()
        if method == DIRECT:
            assert self.b.put(image_id, DATA).status_code == 204
        self.post(image_id, method, path)
        return image_id

    def post(self, image_id, method, path='/disk'):
        more = {'uri': self.web.url + path} if method == WEB else {}
        assert self.b.post_import(image_id, method, method=more).status_code == 202

    def check_active(self, image_id):
        assert self.b.wait(image_id)['status'] == 'success', self.b.last_task(image_id)
        assert (self.b.image(image_id)['status'], self.b.sha512(image_id)) == ('active', SHA512)

    def everything(self, passing=()):
        """Return all rows of all tables but those that pass, and all files with what marks them."""
        meta = sa.MetaData()
        with self.engine.connect() as connection:
            meta.reflect(connection)
            rows = {
                table.name: sorted(map(repr, connection.execute(sa.select(table))))
                for table in meta.sorted_tables
                if table.name not in ('conductors', *passing)
            }
        found = {}
        for place in ('staging', 'fast', 'cold'):
            with os.scandir(self.both.folder / place) as entries:
                for entry in entries:
                    info = entry.stat()
                    found[entry.path] = (info.st_ino, info.st_size, info.st_mtime_ns)
        return rows, found

    def settle(self):
        """Have janitors look at once after everything that was noted for them."""
        with self.engine.begin() as connection:
            connection.execute(sa.text('UPDATE removals SET due_ms = 1'))
        wait_for(lambda: not self.everything()[0]['removals'], 10, 'the work of the janitors')


@pytest.fixture(scope='module')
def stage(request, tmp_path_factory):
    """Give the stage on a kind of database."""
    folder = tmp_path_factory.mktemp(request.param)
    hurry = 'ROUND_SECONDS=0.3,LOST_SECONDS=4'
    with (
        services.database(request.param, str(folder)) as url,
        source(DATA) as web,
        hosts(
            folder, url, extra='[conductor]\nlease = 1\n', start=False, shared_staging=True
        ) as both,
    ):
        a, b = both.all
        faults = ' '.join([*PLACES, *UNDOING])
        at_once(
            lambda: a.start_conductor(FAULTS=faults, FAULT_FOLDER=str(folder), HURRY=hurry),
            lambda: b.start_conductor(HURRY=hurry),
            a.start_api,
            b.start_api,
        )
        engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level='AUTOCOMMIT')
        yield Stage(both, web, engine)


@on('postgresql', 'mariadb', 'sqlite')
@pytest.mark.parametrize('place', CHOSEN)
def test_a_conductor_that_lost_its_import_writes_nothing_more(stage, place):
    check_stopped_at(place, stage)


@on('postgresql')
@pytest.mark.parametrize('place', OTHERS)
def test_wherever_it_stopped(stage, place):
    check_stopped_at(place, stage)


@on('postgresql', 'mariadb')
def test_its_transaction_stops_the_others_for_seconds_only(stage):
    """The database ends it; its locks would keep all others waiting."""
    check_stopped_at(IN_TRANSACTION, stage)


def check_stopped_at(place, stage):
    a, b = stage.a, stage.b
    lost = a.log().count('to another conductor')
    with stage.stopped(place) as image_id:
        stage.check_active(image_id)
        assert f'of image {image_id}: attempt 2' in b.log()
        stage.settle()
        before = stage.everything()
    wait_for(lambda: a.log().count('to another conductor') > lost, 10, 'what A lost')
    time.sleep(0.5)
    stage.settle()
    assert stage.everything() == before
    with stage.only(a):
        stage.check_active(stage.start_import(WEB))
    assert a.log().count('runs imports') == 1


@on('postgresql', 'mariadb', 'sqlite')
def test_a_conductor_that_stood_still_keeps_out_of_what_another_runs(stage):
    a, b = stage.a, stage.b
    with stage.only(a):
        image_id = stage.start_import(WEB, '/drip')
        wait_for(lambda: (b.last_task(image_id)['progress'] or {}).get('bytes_done'), 10, 'bytes')
        stage.freeze(a.conductor)
    wait_for(lambda: f'of image {image_id}: attempt 2' in b.log(), 10, 'B')
    wait_for(lambda: b.last_task(image_id)['progress']['attempt'] == 2, 5, 'its progress')
    wait_for(lambda: len(b.staged()) == 1 and b.staged()[0].endswith('-2'), 5, 'its file')
    lost = a.log().count('to another conductor')
    (mine,) = b.staged()
    rows, _ = stage.everything(passing=['jobs'])
    thaw(a.conductor)
    wait_for(lambda: a.log().count('to another conductor') > lost, 10, 'what A lost')
    time.sleep(0.5)
    assert stage.everything(passing=['jobs'])[0] == rows
    assert b.staged() == [mine]
    assert b.last_task(image_id)['progress']['attempt'] == 2
    stage.web.gate.set()
    stage.check_active(image_id)
    stage.web.gate.clear()
    with stage.only(a):
        stage.check_active(stage.start_import(WEB))


@on('postgresql')
@pytest.mark.parametrize('place', UNDOING)
def test_a_conductor_that_was_undoing_an_import_spares_a_later_one(stage, place):
    a, b = stage.a, stage.b
    with stage.only(a):
        image_id = b.create()
        if UNDOING[place] == DIRECT:
            assert b.put(image_id, DATA).status_code == 204
        b.replace(image_id, disk_format='qcow2')
        arm(stage.both.folder, place)
        stage.post(image_id, UNDOING[place])
        wait_for(lambda: is_frozen(a.conductor), 10, f'a stop at {place}')
    try:
        task = b.wait(image_id)
        assert task['error']['code'] == 'format_mismatch', task
        b.replace(image_id, disk_format='raw')
        if UNDOING[place] == DIRECT:
            assert b.put(image_id, DATA).status_code == 204
        stage.post(image_id, UNDOING[place])
        stage.check_active(image_id)
        stage.settle()
        before = stage.everything()
        lost = a.log().count('to another conductor')
    finally:
        thaw(a.conductor)
    wait_for(lambda: a.log().count('to another conductor') > lost, 10, 'what A lost')
    time.sleep(0.5)
    stage.settle()
    assert stage.everything() == before
    assert b.sha512(image_id) == SHA512


@on('postgresql', 'mariadb')
def test_an_api_that_stood_still_spares_what_was_sent_elsewhere(stage):
    a, b = stage.a, stage.b
    images = {'stage': b.create(), 'file': b.create()}
    go_on = threading.Event()

    def slowly():
        yield bytes(100_000)
        go_on.wait(60)
        yield bytes(100_000)

    with ThreadPoolExecutor(2) as pool:
        puts = [pool.submit(a.put, image_id, slowly(), to) for to, image_id in images.items()]
        statuses = ['uploading', 'saving']
        wait_for(
            lambda: [b.image(i)['status'] for i in images.values()] == statuses, 10, 'two uploads'
        )
        time.sleep(0.3)
        freeze(a.api)
        try:
            wait_for(
                lambda: {b.image(i)['status'] for i in images.values()} == {'queued'},
                15,
                'two lost',
            )
            for image_id in images.values():
                assert b.put(image_id, DATA).status_code == 204
                stage.post(image_id, DIRECT)
                stage.check_active(image_id)
            stage.settle()
            before = stage.everything()
        finally:
            thaw(a.api)
            go_on.set()
        answers = [put.result() for put in puts]
    assert [answer.status_code for answer in answers] == [409, 409], [a.text for a in answers]
    stage.settle()
    assert stage.everything() == before
    assert [b.sha512(image_id) for image_id in images.values()] == [SHA512] * 2
    assert a.put(b.create(), DATA, 'file').status_code == 204
