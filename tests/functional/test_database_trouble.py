# SPDX-License-Identifier: Apache-2.0
"""The database restarts, dies, hangs or is locked under a service at work: nothing is lost.

Clients see a pause, or 503 with ``Retry-After``, and every import ends as it would have.
"""

import collections
import contextlib
import functools
import hashlib
import json
import random
import sqlite3
import threading
import time

import pytest

from glance_lite.conductor.janitor import ROUND_SECONDS
from glance_lite.db.engine import PATIENCE_SECONDS
from glance_lite.receiving import LOST_SECONDS
from tests.functional.database_servers import SERVERS, database_server
from tests.functional.processes import wait_for
from tests.functional.service import LOCAL_SOURCES, service
from tests.functional.sources import source

LEASE = 1.5
OPTIONS = f'[conductor]\nlease = {LEASE}\n' + LOCAL_SOURCES
DISK = random.Random(1).randbytes(300_000)
#: Longer than an upload may give no sign of life.
LONG_SECONDS = LOST_SECONDS + 3
#: Tables that are empty when no import and no upload runs.
BUSY_TABLES = ('jobs', 'uploads', 'staged', 'flowdetails', 'atomdetails', 'logbooks')


@pytest.fixture(scope='module', params=SERVERS)
def server(request):
    with database_server(request.param) as found:
        yield found


@pytest.fixture
def disks():
    """Serve a disk: at ``/disk`` at once, at ``/drip`` slowly until told to go on."""
    with source(DISK) as found:
        yield found


@contextlib.contextmanager
def running_service(tmp_path, url, extra=''):
    """Run a service whose conductor is at work."""
    with service(tmp_path, url, OPTIONS + extra) as found:
        wait_for(lambda: 'runs imports' in found.process.text(), 30, 'a conductor')
        yield found


class Client:
    """A client that takes a 503 for what it says, and anything else above 499 for a fault."""

    def __init__(self, found):
        self.service = found
        self.statuses: list[int] = []

    def ask(self, method, path, seconds=60.0, **options):
        """Send a request until it is answered otherwise than by 503."""
        until = time.monotonic() + seconds
        while True:
            answer = self.service.request(method, path, **options)
            self.statuses.append(answer.status_code)
            if answer.status_code != 503:
                assert answer.status_code < 500, answer.text
                return answer
            assert int(answer.headers['Retry-After']) > 0
            assert answer.json()['error']['code'] == 'service_unavailable', answer.text
            assert 'Traceback' not in answer.text and 'SELECT' not in answer.text
            assert time.monotonic() < until, answer.text
            time.sleep(0.2)

    def create(self):
        body = {'disk_format': 'raw', 'container_format': 'bare', 'name': 'disk'}
        answer = self.ask('POST', '/v2/images', json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()['id']

    def put(self, image_id, data, to):
        headers = {'Content-Type': 'application/octet-stream'}
        answer = self.ask('PUT', f'/v2/images/{image_id}/{to}', data=data, headers=headers)
        assert answer.status_code == 204, answer.text

    def post_import(self, image_id, name, **method):
        body = {'method': {'name': name, **method}}
        answer = self.ask('POST', f'/v2/images/{image_id}/import', json=body)
        assert answer.status_code == 202, answer.text

    def image(self, image_id):
        return self.ask('GET', f'/v2/images/{image_id}').json()

    def tasks(self, image_id):
        return self.ask('GET', f'/v2/images/{image_id}/tasks').json()['tasks']

    def ended(self, image_id):
        return all(task['status'] in ('success', 'failure') for task in self.tasks(image_id))

    def wait_until_active(self, image_ids, seconds=60):
        def all_active():
            return all(self.image(image_id)['status'] == 'active' for image_id in image_ids)

        return wait_for(all_active, seconds, 'active images')


def check_end(found, count, images):
    """See that each image has its data, once, and that nothing else is left.

    ``count`` tells how many rows a table has.
    """
    client = Client(found)
    for image_id, data in images.items():
        image = client.image(image_id)
        assert image['status'] == 'active', image
        assert image['os_hash_value'] == hashlib.sha512(data).hexdigest()
        assert found.sha512(image_id) == image['os_hash_value']
        # an image is active a moment before its task says so
        wait_for(functools.partial(client.ended, image_id), 20, 'the end of the task')
        tasks = client.tasks(image_id)
        assert all(task['status'] == 'success' for task in tasks) and len(tasks) < 2, tasks
    listed = client.ask('GET', '/v2/images?limit=1000').json()['images']
    assert {image['id'] for image in listed} == set(images)
    assert len(found.files('fast')) == len(images)
    assert (found.files('staging'), found.files('cold')) == ([], [])
    wait_for(lambda: not any(map(count, BUSY_TABLES)), 5, 'empty tables')
    log = found.process.text()
    assert 'Traceback' not in log, log


@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_a_restart_of_the_database_during_imports_costs_a_pause(tmp_path, server, disks, how):
    url = server.create_database()
    with running_service(tmp_path, url) as found:
        images = {}
        clients = []
        errors = []

        def work(number):
            client = Client(found)
            clients.append(client)
            try:
                for kind in ('staged', 'fetched', 'uploaded'):
                    data = DISK if kind == 'fetched' else random.Random(number).randbytes(500_000)
                    image_id = client.create()
                    images[image_id] = data
                    if kind == 'staged':
                        client.put(image_id, data, 'stage')
                        client.post_import(image_id, 'glance-direct')
                    elif kind == 'fetched':
                        path = '/drip' if number % 2 else '/disk'
                        client.post_import(image_id, 'web-download', uri=disks.url + path)
                    else:
                        client.put(image_id, data, 'file')
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(images) > 8, 30, 'imports')
        getattr(server, how)()
        time.sleep(0.5)
        server.start()
        wait_for(lambda: len(images) > 20, 60, 'more imports')
        getattr(server, how)()
        server.start()
        disks.gate.set()
        for thread in threads:
            thread.join(60)
        assert not errors, errors
        Client(found).wait_until_active(images)
        check_end(found, server.counter(url), images)


@pytest.mark.parametrize(
    ('server', 'how'), [('postgresql', 'stop'), ('mariadb', 'freeze')], indirect=['server']
)
def test_uploads_and_downloads_outlive_a_database_that_is_long_away(tmp_path, server, disks, how):
    url = server.create_database()
    with running_service(tmp_path, url) as found:
        client = Client(found)
        images = {client.create(): DISK for _ in range(3)}
        stage, upload, fetch = images
        half, back = threading.Barrier(3), threading.Event()

        def body():
            yield DISK[:150_000]
            half.wait(20)
            back.wait(60)
            yield DISK[150_000:]

        answers = {}
        threads = [
            threading.Thread(
                target=lambda image_id, to: answers.update(
                    {to: found.put(image_id, body(), to).status_code}
                ),
                args=(image_id, to),
            )
            for image_id, to in ((stage, 'stage'), (upload, 'file'))
        ]
        for thread in threads:
            thread.start()
        half.wait(20)
        for image_id, status in ((stage, 'uploading'), (upload, 'saving')):
            wait_for(
                lambda each=image_id, then=status: client.image(each)['status'] == then, 20, status
            )
        client.post_import(fetch, 'web-download', uri=disks.url + '/drip')
        wait_for(lambda: client.image(fetch)['status'] == 'importing', 20, 'a download')
        away_at = time.monotonic()
        if how == 'freeze':
            server.freeze()
        else:
            server.stop()
            check_others_are_answered(found)
            back.set()  # the last bytes come to an API that cannot say so yet
        disks.gate.set()
        time.sleep(max(0, away_at + LONG_SECONDS - time.monotonic()))
        if how == 'freeze':
            server.freeze(False)
            time.sleep(ROUND_SECONDS * 2)  # whoever looks for lost uploads has looked
            back.set()
        else:
            server.start()
        for thread in threads:
            thread.join(60)
        assert answers == {'stage': 204, 'file': 204}
        client.post_import(stage, 'glance-direct')
        client.wait_until_active(images)
        check_end(found, server.counter(url), images)


def check_others_are_answered(found):
    """See what clients are told, many of them at once, while the database is away."""
    answers = []

    def ask():
        answers.append(found.request('GET', '/v2/images'))

    threads = [threading.Thread(target=ask) for _ in range(80)]
    for thread in threads:
        thread.start()
    slowest = 0.0
    while any(thread.is_alive() for thread in threads):
        began = time.monotonic()
        assert found.request('GET', '/healthcheck').status_code == 200
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.1)
    assert slowest < 3
    assert {answer.status_code for answer in answers} == {503}
    for answer in answers:
        assert answer.json()['error']['code'] == 'service_unavailable'
        assert answer.json()['error']['message'] == 'The database does not answer; try again.'
        assert int(answer.headers['Retry-After']) > 0


def test_requests_that_get_into_each_others_way_are_answered(tmp_path, server):
    """Deadlocks and lost races are begun again, or are told as conflicts."""
    with running_service(tmp_path, server.create_database()) as found:
        client = Client(found)
        images = [client.create() for _ in range(4)]
        statuses = collections.Counter()
        faults = []

        def patch(image_id, dice):
            names = dice.sample('abcdefgh', 5)
            ops = [{'op': 'add', 'path': f'/{name}', 'value': 'x' * 50} for name in names]
            ops.append({'op': 'replace', 'path': '/tags', 'value': dice.sample('stuvwxyz', 4)})
            return found.request(
                'PATCH',
                f'/v2/images/{image_id}',
                data=json.dumps(ops),
                headers={'Content-Type': 'application/openstack-images-v2.1-json-patch'},
            )

        def delete(image_id, dice):
            answer = found.request('DELETE', f'/v2/images/{image_id}')
            if answer.status_code == 204:
                images[images.index(image_id)] = client.create()
            return answer

        calls = [
            patch,
            lambda image_id, dice: found.put(image_id, b'x' * 1000),
            lambda image_id, dice: found.post_import(image_id),
            lambda image_id, dice: found.request(
                'POST', f'/v2/images/{image_id}/actions/cancel_import'
            ),
            delete,
        ]

        def work(number):
            dice = random.Random(number)
            for _ in range(25):
                (call,) = dice.choices(calls, weights=(6, 4, 4, 1, 1))
                answer = call(dice.choice(images), dice)
                statuses[answer.status_code] += 1
                if answer.status_code >= 500:
                    faults.append(answer.text)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not faults, faults[:3]
        assert {202, 204, 200, 409} <= set(statuses), statuses
        wait_for(
            lambda: not any(client.image(i)['status'] == 'importing' for i in images), 30, 'ends'
        )
        # cancelled imports are logged with what they were at, but nothing is an error
        assert ' ERROR ' not in found.process.text(), found.process.text()


@pytest.mark.parametrize(('locked', 'status'), [(5, 202), (PATIENCE_SECONDS + 2, 503)])
def test_a_sqlite_that_another_process_has_locked_loses_nothing(tmp_path, disks, locked, status):
    path = tmp_path / 'db.sqlite'
    with running_service(tmp_path, f'sqlite:///{path}?timeout=1') as found:
        client = Client(found)
        images = {client.create(): DISK for _ in range(8)}
        waiting, *running = images
        for image_id in running:
            client.post_import(image_id, 'web-download', uri=disks.url + '/drip')
        wait_for(
            lambda: all(client.image(image_id)['status'] == 'importing' for image_id in running),
            20,
            'running imports',
        )
        other = sqlite3.connect(path, isolation_level=None)
        other.execute('BEGIN IMMEDIATE')
        disks.gate.set()
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(
                found.post_import(waiting, 'web-download', {'uri': disks.url + '/disk'})
            )
        )
        asking.start()
        time.sleep(locked)
        assert client.image(waiting)['status'] == 'queued'  # reading goes on
        other.execute('ROLLBACK')
        other.close()
        asking.join(30)
        assert answers[0].status_code == status, answers[0].text
        if status == 503:
            assert answers[0].json()['error']['message'] == 'The database is busy; try again.'
            client.post_import(waiting, 'web-download', uri=disks.url + '/disk')
        client.wait_until_active(images)
        with sqlite3.connect(path) as look:
            check_end(
                found, lambda t: look.execute(f'SELECT COUNT(*) FROM {t}').fetchone()[0], images
            )
