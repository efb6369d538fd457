# SPDX-License-Identifier: Apache-2.0
"""An operator beside a running service: looks, ends, repeats, and clears up all the while."""

import hashlib
import json
import os
import random
import subprocess
import threading
import time

import pytest

from tests import services
from tests.functional.processes import program, wait_for
from tests.functional.service import LOCAL_SOURCES, service
from tests.functional.sources import source

#: Seconds for which the service is kept busy, and clients that do so.
BUSY_SECONDS, CLIENTS = 4, 4


@pytest.fixture(scope='module', params=services.KINDS)
def api(request, tmp_path_factory):
    """A whole service on a database of each kind; a test leaves nothing in it."""
    folder = tmp_path_factory.mktemp(request.param)
    with services.database(request.param, str(folder)) as url:
        with service(folder, url, LOCAL_SOURCES) as running:
            yield running


def manage(api, *words):
    """Run the program; return what it did."""
    return subprocess.run(
        [program('glance-lite-manage'), '--config-file', str(api.config), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def document(api, *words):
    """Return what a command prints with ``--json``; it must succeed in silence."""
    done = manage(api, *words, '--json')
    assert (done.returncode, done.stderr) == (0, ''), done
    return json.loads(done.stdout)


def test_a_running_import_is_seen_ended_and_repeated(api):
    data = os.urandom(1_000_000)
    with source(data) as web:
        image_id = api.create()
        method = {'uri': f'{web.url}/drip'}
        assert api.post_import(image_id, 'web-download', method).status_code == 202
        wait_for(
            lambda: (api.last_task(image_id)['progress'] or {}).get('bytes_done'), 20, 'a download'
        )
        [row] = document(api, 'imports', 'list')
        assert (row['image_id'], row['progress']['phase']) == (image_id, 'download')
        assert row['conductor'] and 0 < row['lease_seconds'] <= 5
        shown = document(api, 'imports', 'show', image_id[:8])
        assert shown['next'] == f'Conductor {row["conductor"]} runs it.'

        ended = manage(api, 'imports', 'cancel', image_id)
        assert (ended.returncode, ended.stderr) == (0, '')
        assert ended.stdout.endswith('has ended: cancelled.\n')
        assert api.image(image_id)['status'] == 'queued'
        assert api.files('staging') == []

        web.gate.set()  # from now on the source is quick
        again = manage(api, 'imports', 'retry', image_id)
        assert (again.returncode, again.stderr) == (0, '')
        assert api.wait(image_id)['status'] == 'success'
        assert api.sha512(image_id) == hashlib.sha512(data).hexdigest()
    assert api.request('DELETE', f'/v2/images/{image_id}').status_code == 204


def test_clearing_up_takes_nothing_from_a_busy_service(api):
    until = time.monotonic() + BUSY_SECONDS
    active, troubles = {}, []

    def client(number):
        chance = random.Random(number)
        while time.monotonic() < until and not troubles:
            data = chance.randbytes(chance.randint(1, 300_000))
            image_id = api.create()
            try:
                if chance.random() < 0.5:
                    answer = api.put(image_id, data, 'file')
                    assert answer.status_code == 204, answer.text
                else:
                    answer = api.put(image_id, data)
                    assert answer.status_code == 204, answer.text
                    answer = api.post_import(image_id, stores=['fast', 'cold'])
                    assert answer.status_code == 202, answer.text
                    if chance.random() < 0.8:
                        assert api.wait(image_id)['status'] == 'success'
                if chance.random() < 0.3:
                    assert api.request('DELETE', f'/v2/images/{image_id}').status_code == 204
                else:
                    active[image_id] = data
            except BaseException as trouble:
                troubles.append(trouble)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in clients):
        document(api, 'gc', '--grace', '0', '--unknown')
        rounds += 1
    assert not troubles, troubles
    assert rounds and active

    for image_id, data in active.items():
        wait_for(lambda i=image_id: api.image(i)['status'] == 'active', 30, 'the last imports')
        assert api.sha512(image_id) == hashlib.sha512(data).hexdigest()
    wait_for(lambda: not document(api, 'imports', 'list'), 30, 'the end of all imports')
    left = document(api, 'gc', '--grace', '0')
    assert (left['items'], api.files('staging')) == ([], [])
    owners = {name.split('.')[0] for name in api.files('fast') + api.files('cold')}
    assert owners == set(active)
