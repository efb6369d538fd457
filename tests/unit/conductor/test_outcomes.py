# SPDX-License-Identifier: Apache-2.0
"""How imports end: the table of outcomes, each step's failure, and nothing left behind."""

import dataclasses
import errno
import hashlib
import os
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from oslo_db import exception as db_exception
from taskflow import task

from glance_lite import exceptions, removing
from glance_lite.db import images, jobs, models, removals, tasks
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain
from glance_lite.plugin.loader import PluginSet
from tests.engine import Engine

CLEAN = {'jobs': 0, 'flows': 0, 'fast': [], 'cold': [], 'staging': []}
PERMIT = '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'


@pytest.fixture
def source():
    """Serve 300,000 bytes, and 404 at /missing."""

    class Handler(BaseHTTPRequestHandler):
        data = random.Random(1).randbytes(300_000)

        def do_GET(self):
            found = self.path == '/disk'
            self.send_response(200 if found else 404)
            body = self.data if found else b'secret words of the source'
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    server.url = f'http://127.0.0.1:{server.server_port}'
    server.data = Handler.data
    yield server
    server.shutdown()
    server.server_close()


def plugin(execute):
    """Return a ``get_flow`` of the field whose task calls ``execute(**arguments of get_flow)``."""

    def get_flow(**arguments):
        class Plugin(task.Task):
            def execute(self):
                return execute(**arguments)

        return Plugin('a-task')

    return get_flow


def run(engine, image_id, **plan):
    task_id = engine.post(image_id, **plan)
    assert engine.conductor().run_pending() == 1
    return engine.image(image_id), engine.task(task_id)


def test_staged_bytes_become_an_active_image(make_conf, database_url):
    engine = Engine(make_conf(connection=database_url))
    data = random.Random(5).randbytes(300_000)
    image, done = run(engine, engine.stage(data), stores=['fast', 'cold'])
    assert (image.status, image.size) == ('active', 300_000)
    assert image.checksum == hashlib.md5(data).hexdigest()
    assert image.os_hash_value == hashlib.sha512(data).hexdigest()
    assert [location.store for location in image.locations] == ['fast', 'cold']
    assert image.import_task_id is None and image.properties == {}
    assert (done.status, done.result) == ('success', {'image_id': image.image_id})
    assert done.expires_at > done.created_at and done.attempts == 1
    left = engine.leftovers()
    assert (left['jobs'], left['flows'], left['staging']) == (0, 0, [])
    assert len(left['fast']) == len(left['cold']) == 1
    engine.db.dispose()


def test_a_download_becomes_an_active_image(make_conf, source):
    engine = Engine(make_conf(PERMIT))
    image, done = run(engine, engine.create(), uri=source.url + '/disk')
    assert image.status == 'active', done.message
    assert image.os_hash_value == hashlib.sha512(source.data).hexdigest()
    assert engine.leftovers()['staging'] == []


def test_a_given_hash_must_be_that_of_the_download(make_conf, source):
    engine = Engine(make_conf(PERMIT))
    right = {'os_hash_algo': 'sha256', 'os_hash_value': hashlib.sha256(source.data).hexdigest()}
    image, _ = run(engine, engine.create(), uri=source.url + '/disk', validation=right)
    assert image.status == 'active'
    wrong = right | {'os_hash_value': '0' * 64}
    engine = Engine(make_conf(PERMIT))
    image, done = run(engine, engine.create(), uri=source.url + '/disk', validation=wrong)
    assert (image.status, image.size, done.error['code']) == ('queued', None, 'checksum_mismatch')
    assert engine.leftovers()['staging'] == []


@pytest.mark.parametrize(
    ('url', 'code'),
    [
        ('{}/missing', 'source_http_error'),
        ('http://127.0.0.1:1/x', 'source_unreachable'),
        ('http://10.255.255.1/x', 'filtered_uri'),
    ],
)
def test_a_failed_download_tells_why_and_may_be_repeated(make_conf, source, url, code):
    engine = Engine(make_conf(PERMIT + '[web_download]\nretries = 0\n'))
    image_id = engine.create()
    image, done = run(engine, image_id, uri=url.format(source.url))
    assert (image.status, done.status, done.error['code']) == ('queued', 'failure', code)
    assert done.error['phase'] == 'download' and done.error['request_id'] == 'req-1'
    assert 'secret words' not in done.message
    assert image.properties[domain.IMPORT_ERROR] == f'{code}: {done.message}'
    assert engine.leftovers() == CLEAN
    image, done = run(engine, image_id, uri=source.url + '/disk')
    assert image.status == 'active' and domain.IMPORT_ERROR not in image.properties


def test_refused_content_is_removed_and_may_be_staged_again(make_conf):
    engine = Engine(make_conf())
    image, done = run(engine, engine.stage(disk_format='qcow2'))
    assert (image.status, image.size) == ('queued', None)
    assert done.error['code'] == 'format_mismatch' and not done.error['retryable']
    assert done.message == (
        'The image is declared as qcow2, but its content is of format raw. Failed check: format '
        'match.'
    )
    assert engine.leftovers() == CLEAN


def fail(error):
    def execute(**arguments):
        raise error

    return execute


def test_a_plugin_that_refuses_is_named_with_its_reason(make_conf):
    refuse = plugin(fail(exceptions.ImageRejected('virus found')))
    engine = Engine(make_conf(), PluginSet({'scan': refuse}))
    image, done = run(engine, engine.stage())
    assert image.status == 'queued'
    assert done.message == "The plugin 'scan' refused the image: virus found"
    assert done.error == done.error | {
        'code': 'plugin_rejected',
        'phase': 'run-plugin:scan',
        'plugin': 'scan',
        'retryable': False,
    }
    assert engine.leftovers() == CLEAN


def test_a_plugin_that_fails_leaves_the_staged_bytes_for_the_same_request(make_conf):
    crash = plugin(fail(RuntimeError('cannot read /var/lib/secret/disk for http://u:p@h/x?k=v')))
    engine = Engine(make_conf(), PluginSet({'scan': crash}))
    image_id = engine.stage()
    image, done = run(engine, image_id)
    assert (image.status, done.error['code']) == ('uploading', 'plugin_failed')
    assert done.error['retryable']
    assert done.message.startswith("The plugin 'scan' failed: cannot read disk for http://")
    assert 'u:p' not in done.message and '/var' not in done.message
    left = engine.leftovers()
    assert left == CLEAN | {'staging': [f'{image_id}.upload-1']}
    image, done = run(engine, image_id, plugins=[])
    assert image.status == 'active'


def test_a_plugin_that_is_gone_fails_the_import(make_conf):
    engine = Engine(make_conf())
    image, done = run(engine, engine.stage(), plugins=['scan'])
    assert (image.status, done.error['code']) == ('uploading', 'plugin_missing')
    assert "'scan'" in done.message


def test_a_plugins_own_status_makes_nothing_active(make_conf):
    def execute(action_wrapper, **arguments):
        with action_wrapper as action:
            action.set_image_attribute(status='active')
        raise RuntimeError('no')

    engine = Engine(make_conf(), PluginSet({'liar': plugin(execute)}))
    image, _ = run(engine, engine.stage())
    assert image.status == 'uploading'


def test_a_plugin_that_rewrites_the_staged_file_changes_the_hashes(make_conf):
    engine = None

    def execute(**arguments):
        staging = engine.services.staging
        with open(staging.path(staging.list_files()[0]), 'r+b') as file:
            file.write(b'other')

    engine = Engine(make_conf(), PluginSet({'edit': plugin(execute)}))
    data = bytes(100_000)
    image, _ = run(engine, engine.stage(data))
    assert image.status == 'active'
    assert image.os_hash_value == hashlib.sha512(b'other' + data[5:]).hexdigest()


def test_a_plugin_may_give_another_file_and_none_means_unchanged(make_conf):
    engine = None

    class Transform(task.Task):
        default_provides = 'file_path'

        def execute(self, file_path):
            path = file_path.removeprefix('file://') + '-new'
            with open(path, 'wb') as file:
                file.write(b'transformed')
            return 'file://' + path

    class Keep(task.Task):
        default_provides = 'file_path'

        def execute(self, file_path):
            assert file_path.endswith('-new')

    plugins = {'transform': lambda **kw: Transform(), 'keep': lambda **kw: Keep()}
    engine = Engine(make_conf(), PluginSet(plugins))
    image, done = run(engine, engine.stage())
    assert (image.status, image.size) == ('active', 11), done.message
    assert image.os_hash_value == hashlib.sha512(b'transformed').hexdigest()
    assert engine.leftovers()['staging'] == []


def test_a_plugin_may_not_give_a_file_from_elsewhere(make_conf):
    class Leak(task.Task):
        default_provides = 'file_path'

        def execute(self):
            return 'file:///etc/passwd'

    engine = Engine(make_conf(), PluginSet({'leak': lambda **kw: Leak()}))
    image, done = run(engine, engine.stage())
    assert (image.status, done.error['code']) == ('uploading', 'plugin_failed')
    assert 'passwd' not in done.message


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_plugin_that_finds_no_space_says_so(make_conf, number):
    full = plugin(fail(OSError(number, os.strerror(number), '/var/lib/scratch/new')))
    engine = Engine(make_conf(), PluginSet({'grow': full}))
    image, done = run(engine, engine.stage())
    assert (image.status, done.error['code']) == ('uploading', 'no_space')
    assert done.error['retryable'] and done.error['plugin'] == 'grow'
    assert done.message == ("The plugin 'grow' failed: There is no space left for the image data.")


def test_a_store_that_fails_undoes_the_others(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    os.rmdir(engine.services.stores.get('cold').directory)
    image, done = run(engine, image_id, stores=['fast', 'cold'])
    assert (image.status, done.error['code']) == ('uploading', 'store_failed')
    assert done.error['phase'] == 'copy-to-store:cold' and "'cold'" in done.message
    assert os.listdir(engine.services.stores.get('fast').directory) == []
    os.mkdir(engine.services.stores.get('cold').directory)
    assert run(engine, image_id, stores=['fast', 'cold'])[0].status == 'active'


def test_a_store_may_fail_when_not_all_must_succeed(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    os.rmdir(engine.services.stores.get('cold').directory)
    image, done = run(engine, image_id, stores=['cold', 'fast'], all_stores_must_succeed=False)
    assert (image.status, done.status) == ('active', 'success')
    assert [location.store for location in image.locations] == ['fast']
    assert image.properties == {domain.FAILED_IMPORT: 'cold'}


def test_an_image_deleted_while_it_is_imported_leaves_nothing(make_conf):
    engine = None

    def execute(image_id, **arguments):
        with engine.db.writer() as session:
            assert images.delete(session, image_id, [domain.IMPORTING])

    engine = Engine(make_conf(), PluginSet({'delete': plugin(execute)}))
    task_id = engine.post(engine.stage())
    engine.conductor().run_pending()
    done = engine.task(task_id)
    assert (done.status, done.error['code']) == ('failure', 'cancelled')
    assert engine.leftovers() == CLEAN


def test_a_cancelled_import_is_undone(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    task_id = engine.post(image_id)
    with engine.db.writer() as session:
        tasks.request_cancel(session, task_id)
    engine.conductor().run_pending()
    assert engine.task(task_id).error['code'] == 'cancelled'
    assert engine.image(image_id).status == 'uploading'


def test_an_import_past_its_deadline_fails(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    task_id = engine.post(image_id)
    with engine.db.writer() as session:
        tasks.update(session, task_id, deadline_ms=1)
    engine.conductor().run_pending()
    assert engine.task(task_id).error['code'] == 'deadline_exceeded'
    assert engine.image(image_id).status == 'uploading'


def test_too_many_attempts_fail_the_import(make_conf):
    engine = Engine(make_conf('[import]\nmax_attempts = 2\n'))
    image_id = engine.stage()
    task_id = engine.post(image_id)
    with engine.db.writer() as session:
        for _ in range(2):
            tasks.start_attempt(session, task_id)
    engine.conductor().run_pending()
    assert engine.task(task_id).error['code'] == 'lost_worker'
    assert engine.image(image_id).status == 'uploading'


def test_staged_bytes_that_are_gone_are_told_of(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    engine.services.staging.remove_all(image_id)
    image, done = run(engine, image_id)
    assert (image.status, done.error['code']) == ('queued', 'staging_unreachable')
    assert engine.leftovers() == CLEAN


def publish_and_die(engine, image_id):
    """Make the image active as an attempt does that dies before it can say so; return its task."""
    task_id = engine.post(image_id)
    store = engine.services.stores.default
    staging = engine.services.staging
    path = staging.path(staging.list_files(image_id)[0])
    stored = store.put_file(path, image_id, 'first', lambda count: None)
    with engine.db.writer() as session:
        assert jobs.claim(session, task_id, 0, 'dead', -1000)
        images.update(
            session, image_id, from_status=domain.IMPORTING, status=domain.ACTIVE, size=stored.size
        )
        images.set_locations(session, image_id, [domain.Location('fast', stored.url)])
    return task_id


@pytest.mark.parametrize('then', ['nothing', 'cancel', 'deadline', 'attempts', 'store away'])
def test_an_image_that_was_published_is_never_undone(make_conf, database_url, then):
    engine = Engine(make_conf('[import]\nmax_attempts = 1\n', connection=database_url))
    image_id = engine.stage()
    task_id = publish_and_die(engine, image_id)
    directory = engine.services.stores.default.directory
    with engine.db.writer() as session:
        if then == 'cancel':
            tasks.request_cancel(session, task_id)
        elif then == 'deadline':
            tasks.update(session, task_id, deadline_ms=1)
        elif then == 'attempts':
            tasks.start_attempt(session, task_id)
    if then == 'store away':
        os.rename(directory, directory + '-away')
    assert engine.conductor().run_pending() == 1
    if then == 'store away':
        os.rename(directory + '-away', directory)
    image, done = engine.image(image_id), engine.task(task_id)
    assert (image.status, image.import_task_id, done.status) == ('active', None, 'success')
    assert engine.services.stores.default.size(image.locations[0].url) == image.size == 100_000
    left = engine.leftovers()
    assert (left['jobs'], left['flows'], left['staging']) == (0, 0, [])
    engine.db.dispose()


@pytest.mark.parametrize('committed', [True, False])
def test_a_commit_that_nobody_heard_of_undoes_nothing(make_conf, committed):
    class Deaf(Database):
        """A database whose connection breaks once, while an image is published."""

        broken = False

        def transact(self, work, **options):
            if not work.__qualname__.startswith('publish.') or self.broken:
                return super().transact(work, **options)
            self.broken = True
            if committed:
                super().transact(work, **options)
            raise db_exception.DBConnectionError

    engine = Engine(make_conf())
    deaf = Deaf(engine.db.engine)
    engine.services = dataclasses.replace(engine.services, db=deaf)
    image_id = engine.stage()
    task_id = engine.post(image_id)
    assert engine.conductor().run_pending() == 1
    assert deaf.broken and engine.task(task_id).status == 'processing'
    with engine.db.writer() as session:  # as after the pause that follows trouble
        session.execute(models.jobs.update().values(expires_ms=1))
    assert engine.conductor().run_pending() == 1
    image = engine.image(image_id)
    assert (image.status, engine.task(task_id).status) == ('active', 'success')
    assert engine.services.stores.default.size(image.locations[0].url) == 100_000
    assert engine.leftovers()['staging'] == []


def test_what_a_store_keeps_of_a_failed_import_is_noted(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    task_id = engine.post(image_id, stores=['fast', 'cold'])
    directory = engine.services.stores.get('cold').directory
    os.rename(directory, directory + '-away')
    engine.conductor().run_pending()
    assert engine.task(task_id).error['code'] == 'store_failed'
    assert engine.image(image_id).status == 'uploading'
    with engine.db.reader() as session:
        [note] = removals.list_all(session)
    assert (note.image_id, note.store, note.url) == (image_id, 'cold', None)


def test_after_a_lost_attempt_the_stores_are_looked_at_once_more(make_conf):
    engine = Engine(make_conf())
    image_id = engine.stage()
    task_id = engine.post(image_id)
    with engine.db.writer() as session:
        assert jobs.claim(session, task_id, 0, 'dead', -1000)
    engine.conductor().run_pending()
    assert engine.image(image_id).status == 'active'
    stray = engine.services.stores.default.open_writer(image_id, 'stray')
    stray.write(memoryview(b'late'))
    stray.commit()  # as by a conductor that stood still meanwhile
    with engine.db.reader() as session:
        [note] = removals.list_all(session)
    assert removing.carry_out(engine.db, engine.services.stores, note)
    [kept] = engine.leftovers()['fast']
    assert engine.image(image_id).locations[0].url.endswith(kept)
