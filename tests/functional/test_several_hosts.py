# SPDX-License-Identifier: Apache-2.0
"""Two hosts with staging directories of their own, one database, and a proxy that takes turns.

Nothing in the options of a host tells it of the other.
"""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import services
from tests.functional.faulty import arm
from tests.functional.hosts import at_once, hosts
from tests.functional.processes import wait_for
from tests.functional.sources import source

everywhere = pytest.mark.parametrize('kind', services.SERVERS)
anywhere = pytest.mark.parametrize('kind', ['postgresql'])

#: The janitor's times, made short: what is tested is what happens then.
HURRY = 'ROUND_SECONDS=0.3,GRACE_SECONDS=1,UNREACHABLE_MS=3000'
DATA = os.urandom(300_000)
SHA512 = hashlib.sha512(DATA).hexdigest()


@pytest.fixture
def url(kind, tmp_path):
    with services.database(kind, str(tmp_path)) as found:
        yield found


@everywhere
def test_what_one_host_staged_is_imported_by_the_request_to_the_other(url, tmp_path):
    with hosts(tmp_path, url) as both:

        def check(image_id, data):
            task = both.wait(image_id)
            assert task['status'] == 'success', task
            image = both.image(image_id)
            sha512 = hashlib.sha512(data).hexdigest()
            assert (image['status'], image['os_hash_value']) == ('active', sha512)
            assert both.sha512(image_id) == sha512

        sent = {}
        for _ in range(100):
            data = os.urandom(20_000)
            image_id = both.create()
            assert both.put(image_id, data).status_code == 204
            assert both.post_import(image_id).status_code == 202
            sent[image_id] = data
        paths = [path for path, _ in both.proxy.served]
        place = dict(both.proxy.served)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(check, sent, sent.values()))
        for image_id in sent:
            staged_at = place[f'PUT /v2/images/{image_id}/stage']
            assert place[f'POST /v2/images/{image_id}/import'] != staged_at
        assert len(paths) == 300
        both.assert_only(*sent)
        for host in both.all:
            assert host.log().count('attempt 1 (glance-direct)') > 0
            assert 'attempt 2' not in host.log()


@everywhere
def test_data_on_a_lost_host_is_soon_known_to_be_lost_and_may_be_staged_elsewhere(url, tmp_path):
    with hosts(tmp_path, url, start=False) as both:
        a, b = both.all
        at_once(a.start_api, a.start_conductor, b.start_api, lambda: b.start_conductor(HURRY=HURRY))
        lost = b.create()
        assert a.put(lost, DATA).status_code == 204
        a.kill()
        assert both.post_import(lost).status_code == 202
        task = both.wait(lost, 10)
        assert task['error']['code'] == 'staging_unreachable', task
        assert 'stage it again' in task['message']
        image = both.image(lost)
        assert (image['status'], image['size']) == ('queued', None)
        assert both.put(lost, DATA).status_code == 204
        assert both.post_import(lost).status_code == 202
        assert both.wait(lost)['status'] == 'success'
        assert both.sha512(lost) == SHA512
        assert (len(a.staged()), b.staged()) == (1, [])
        a.start_conductor(HURRY=HURRY)
        wait_for(lambda: a.staged() == [], 10, 'the end of the stray file')
        both.assert_only(lost)


@anywhere
def test_an_import_waits_for_the_conductor_of_its_host(url, tmp_path):
    with hosts(tmp_path, url) as both:
        a, b = both.all
        a.conductor.kill()
        image_id = both.create()
        assert a.put(image_id, DATA).status_code == 204
        assert b.post_import(image_id).status_code == 202
        a.start_conductor()
        assert both.wait(image_id)['status'] == 'success'
        assert both.sha512(image_id) == SHA512
        both.assert_only(image_id)


@anywhere
def test_what_a_lost_host_had_downloaded_is_downloaded_again_elsewhere(url, tmp_path):
    with source(DATA) as web, hosts(tmp_path, url, start=False) as both:
        a, b = both.all
        place = 'glance_lite.image_import.steps.copy_to_store:CopyToStore.execute'
        at_once(b.start_api, lambda: a.start_conductor(FAULTS=place, FAULT_FOLDER=str(tmp_path)))
        armed = arm(tmp_path, place, how='kill')
        image_id = b.create()
        b.post_import(image_id, 'web-download', method={'uri': web.url + '/drip'})
        wait_for(lambda: a.staged(), 10, 'some bytes')
        time.sleep(1.5)  # long enough that the end of the step is written down
        web.gate.set()
        wait_for(lambda: not armed.exists(), 10, 'the end of A')
        b.start_conductor()
        assert b.wait(image_id)['status'] == 'success', b.last_task(image_id)
        assert b.sha512(image_id) == SHA512
        assert b.staged() == []
        a.start_conductor(HURRY=HURRY)
        wait_for(lambda: a.staged() == [], 10, 'the end of the stray file')
        both.assert_only(image_id)


@anywhere
def test_hosts_that_share_a_staging_directory_run_each_others_imports(url, tmp_path):
    with hosts(tmp_path, url, shared_staging=True) as both:
        a, b = both.all
        a.conductor.kill()
        images = [a.create() for _ in range(5)]
        for image_id in images:
            assert a.put(image_id, DATA).status_code == 204
            assert a.post_import(image_id).status_code == 202
        for image_id in images:
            assert both.wait(image_id)['status'] == 'success'
        assert all(f'Import {a.last_task(i)["id"]}' in b.log() for i in images)
        both.assert_only(*images)


@everywhere
def test_a_host_with_a_wrong_clock_neither_loses_nor_takes_imports(url, tmp_path):
    """Its clock is three days ahead: by it, all leases ran out and all records are too old."""
    with source(DATA) as web, hosts(tmp_path, url, start=False) as both:
        a, b = both.all
        at_once(
            lambda: a.start_conductor(HURRY=HURRY, CLOCK_AHEAD=str(3 * 86400)),
            b.start_conductor,
            b.start_api,
        )

        def attempts():
            return sorted((b.last_task(i)['progress'] or {}).get('attempt') or 0 for i in running)

        staged = b.create()
        assert b.put(staged, DATA).status_code == 204
        done = b.create()
        b.post_import(done, 'web-download', method={'uri': web.url + '/disk'})
        assert b.wait(done)['status'] == 'success'
        running = [b.create() for _ in range(8)]
        for image_id in running:
            b.post_import(image_id, 'web-download', method={'uri': web.url + '/drip'})
        wait_for(lambda: attempts() == [1] * 8, 10, 'eight running imports')
        time.sleep(5)  # two leases and more
        assert attempts() == [1] * 8
        at_a, at_b = ([i for i in running if i in host.log()] for host in both.all)
        assert at_a and at_b and set(at_a).isdisjoint(at_b)
        assert b.image(staged)['status'] == 'uploading'
        assert b.last_task(done)['status'] == 'success'
        b.conductor.kill()
        took = wait_for(lambda: attempts() == [1] * len(at_a) + [2] * len(at_b), 10, 'a takeover')
        assert took > 0.9
        web.gate.set()
        for image_id in running:
            assert b.wait(image_id)['status'] == 'success'
            assert b.sha512(image_id) == SHA512
