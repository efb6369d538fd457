# SPDX-License-Identifier: Apache-2.0
"""Full disks: the import fails with ``no_space``, others go on, and what was asked for can be
asked for again when there is space.
"""

import contextlib
import hashlib
import os
import random
import time

import pytest

from tests.functional.database_servers import database_server
from tests.functional.processes import wait_for
from tests.functional.service import LOCAL_SOURCES, service
from tests.functional.small_disks import small_disk
from tests.functional.sources import source

MIB = 1024 * 1024
BIG, SMALL = (random.Random(size).randbytes(size) for size in (3 * MIB, 300_000))

GROWING = '''
from glance_lite.plugin import ImageChanges, ImportPlugin


class Grow(ImportPlugin):
    name = 'grow'
    transforms = True

    def execute(self, image, staged):
        with open(staged.new_path(), 'wb') as file:
            for chunk in staged.chunks():
                file.write(chunk)
        return ImageChanges(file_path=staged.new_path())
'''


@pytest.fixture
def staging(tmp_path):
    """Give the staging area a disk of its own."""
    with small_disk(tmp_path / 'staging', 16 * MIB) as disk:
        yield disk


@pytest.fixture
def fast(tmp_path):
    """Give the default store a disk of its own."""
    with small_disk(tmp_path / 'fast', 8 * MIB) as disk:
        yield disk


def check_refused(answer):
    assert answer.status_code == 413, answer.text
    assert answer.json()['error']['code'] == 'no_space'
    assert answer.json()['error']['message'] == 'There is no space left for the image data.'


def check_failed(found, image_id, status, phase):
    """See that an import failed for want of space, in words that the owner can use."""
    task = found.wait(image_id)
    assert task['status'] == 'failure'
    error = task['error']
    assert (error['code'], error['phase'], error['retryable']) == ('no_space', phase, True)
    assert 'no space left' in error['message'] and str(found.folder) not in error['message']
    image = found.image(image_id)
    assert image['status'] == status
    assert image['os_glance_import_error'].startswith('no_space: ')


def check_active(found, images):
    for image_id, data in images.items():
        wait_for(lambda each=image_id: found.image(each)['status'] == 'active', 30, 'an image')
        assert found.sha512(image_id) == hashlib.sha512(data).hexdigest()
    wait_for(lambda: found.files('staging') == [], 5, 'an empty staging area')
    assert len(found.files('fast')) + len(found.files('cold')) == len(images)
    assert ' ERROR ' not in found.process.text(), found.process.text()


def test_staging_that_is_full_refuses_data_and_keeps_nothing(tmp_path, staging):
    with service(tmp_path) as found:
        big, small = found.create(), found.create()
        staging.fill(but=MIB)
        check_refused(found.put(big, BIG))
        assert found.image(big)['status'] == 'queued'
        assert found.files('staging') == []
        assert found.put(small, SMALL).status_code == 204
        assert found.post_import(small).status_code == 202
        staging.empty()
        assert found.put(big, BIG).status_code == 204
        assert found.post_import(big).status_code == 202
        check_active(found, {big: BIG, small: SMALL})


def test_staging_that_is_full_fails_a_download_and_lets_smaller_ones_through(tmp_path, staging):
    with (
        service(tmp_path, extra=LOCAL_SOURCES) as found,
        source(BIG) as large,
        source(SMALL) as little,
    ):
        big = found.create()
        smalls = [found.create() for _ in range(5)]
        staging.fill(but=2 * MIB)
        assert (
            found.post_import(big, 'web-download', {'uri': large.url + '/disk'}).status_code == 202
        )
        check_failed(found, big, 'queued', 'download')
        assert found.files('staging') == []
        for image_id in smalls:
            found.post_import(image_id, 'web-download', {'uri': little.url + '/disk'})
        for image_id in smalls:
            assert found.wait(image_id)['status'] == 'success'
        staging.empty()
        assert (
            found.post_import(big, 'web-download', {'uri': large.url + '/disk'}).status_code == 202
        )
        check_active(found, {big: BIG, **dict.fromkeys(smalls, SMALL)})


def test_a_store_that_is_full_keeps_what_was_staged_for_another_try(tmp_path, fast):
    with service(tmp_path) as found:
        big, small = found.create(), found.create()
        for image_id, data in ((big, BIG), (small, SMALL)):
            assert found.put(image_id, data).status_code == 204
        fast.fill(but=MIB)
        for _ in range(2):
            assert found.post_import(big).status_code == 202
            check_failed(found, big, 'uploading', 'copy-to-store:fast')
        assert found.post_import(small).status_code == 202
        assert found.wait(small)['status'] == 'success'
        assert len(found.files('fast')) == 1
        fast.empty()
        assert found.post_import(big).status_code == 202
        check_active(found, {big: BIG, small: SMALL})


def test_a_store_that_is_full_does_not_keep_others_from_their_copy(tmp_path, fast):
    with service(tmp_path) as found:
        image_id = found.create()
        assert found.put(image_id, BIG).status_code == 204
        fast.fill(but=MIB)
        answer = found.post_import(image_id, stores=['fast', 'cold'], all_stores_must_succeed=False)
        assert answer.status_code == 202
        assert found.wait(image_id)['status'] == 'success'
        assert found.image(image_id)['os_glance_failed_import'] == 'fast'
        assert found.files('fast') == []
        check_active(found, {image_id: BIG})


def test_a_store_that_is_full_refuses_an_upload(tmp_path, fast):
    with service(tmp_path) as found:
        image_id = found.create()
        fast.fill(but=MIB)
        check_refused(found.put(image_id, BIG, 'file'))
        # one that does not say how much it is fails later, not otherwise
        check_refused(found.put(image_id, iter([BIG]), 'file'))
        assert found.image(image_id)['status'] == 'queued'
        assert found.files('fast') == []
        fast.empty()
        assert found.put(image_id, BIG, 'file').status_code == 204
        check_active(found, {image_id: BIG})


def test_a_plugin_that_finds_no_space_fails_the_import_as_such(tmp_path, staging, monkeypatch):
    info = tmp_path / 'site' / 'grow-1.0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: grow\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(
        '[glance.image_import.plugins]\ngrow = grow:Grow.get_flow\n'
    )
    (tmp_path / 'site' / 'grow.py').write_text(GROWING)
    path = [str(tmp_path / 'site'), *filter(None, [os.environ.get('PYTHONPATH')])]
    monkeypatch.setenv('PYTHONPATH', ':'.join(path))
    monkeypatch.setenv('STEVEDORE_CACHE_DISABLE', '1')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    extra = '[image_import_opts]\nimage_import_plugins = [grow]\n'
    with service(tmp_path, extra=extra) as found:
        image_id = found.create()
        assert found.put(image_id, BIG).status_code == 204
        staging.fill(but=MIB)
        assert found.post_import(image_id).status_code == 202
        check_failed(found, image_id, 'uploading', 'run-plugin:grow')
        assert len(found.files('staging')) == 1
        staging.empty()
        assert found.post_import(image_id).status_code == 202
        check_active(found, {image_id: BIG})


class DatabaseDisk:
    """A database on a small disk."""

    def __init__(self, url, disk, server=None):
        self.url, self.disk, self.server = url, disk, server

    def fill(self):
        self.disk.fill()

    def free(self):
        self.disk.empty()
        if self.server is not None and not self.server.is_running:
            self.server.start()


class PanickingDisk(DatabaseDisk):
    """One whose server ends when it finds no space for its log."""

    def fill(self):
        super().fill()
        self.server.query('SELECT pg_switch_wal()')
        wait_for(lambda: not self.server.is_running, 20, 'the end of the server')


@pytest.fixture
def database(request, tmp_path):
    kind = request.param.removesuffix(' that gives up')
    with contextlib.ExitStack() as stack:
        if kind == 'sqlite':
            disk = stack.enter_context(small_disk(tmp_path / 'database', 4 * MIB))
            yield DatabaseDisk(f'sqlite:///{tmp_path}/database/db.sqlite', disk)
            return
        server = stack.enter_context(database_server(kind, 256 * MIB))
        form = DatabaseDisk if kind == request.param else PanickingDisk
        yield form(server.create_database(), server.disk, server)


@pytest.mark.parametrize(
    'database',
    ['sqlite', 'postgresql', 'postgresql that gives up', 'mariadb'],
    indirect=True,
)
def test_a_database_that_is_full_makes_imports_wait(tmp_path, database):
    extra = LOCAL_SOURCES + '[conductor]\nlease = 1.5\n'
    with service(tmp_path, database.url, extra) as found, source(SMALL) as disks:
        wait_for(lambda: 'runs imports' in found.process.text(), 30, 'a conductor')
        fetched = [found.create() for _ in range(4)]
        staged, last = found.create(), found.create()
        assert found.put(staged, BIG).status_code == 204
        for image_id in fetched:
            answer = found.post_import(image_id, 'web-download', {'uri': disks.url + '/drip'})
            assert answer.status_code == 202
        wait_for(
            lambda: all(
                found.last_task(image_id)['status'] == 'processing' for image_id in fetched
            ),
            20,
            'running imports',
        )
        database.fill()
        refused = found.post_import(staged)
        if refused.status_code == 202:  # there was room for that yet
            refused = fill_tables(found)
        assert refused.json()['error']['code'] == 'service_unavailable'
        assert int(refused.headers['Retry-After']) > 0
        disks.gate.set()  # the imports come to their end, and cannot say so
        time.sleep(4)
        assert found.request('GET', '/healthcheck').status_code == 200
        database.free()
        if found.image(staged)['status'] == 'uploading':  # it was refused
            assert found.post_import(staged).status_code == 202
        answer = found.post_import(last, 'web-download', {'uri': disks.url + '/disk'})
        assert answer.status_code == 202
        check_active(found, {staged: BIG, **dict.fromkeys([*fetched, last], SMALL)})
        for image_id in (staged, last, *fetched):
            assert found.last_task(image_id)['status'] == 'success'


def fill_tables(found):
    """Add images until the database takes no more; return the answer that says so."""
    properties = {f'p{number}': 'x' * 250 for number in range(100)}
    for _ in range(400):
        answer = found.request('POST', '/v2/images', json=properties)
        if answer.status_code != 201:
            return answer
    raise AssertionError('the database takes whatever comes')
