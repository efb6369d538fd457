# SPDX-License-Identifier: Apache-2.0
"""Random faults against real processes, and the audit that finds nothing; see ``tests/faults``.

A longer run of the same: ``python -m tests.faults --database postgresql --faults 1000``.
"""

import importlib.util
import os
import random
import uuid

import pytest
import sqlalchemy as sa

from glance_lite.db import models
from tests import services
from tests.engine import Engine
from tests.faults import audit, matrix
from tests.faults.campaign import PLUGINS, Campaign, look_at_rest
from tests.faults.clients import ACTIVE, GONE, Client, Image
from tests.faults.disks import Disk, disk_source
from tests.faults.points import COPY, DIRECT, POINTS, UPLOAD, WEB
from tests.faults.task_clients import Wish
from tests.faults.world import MANY_ATTEMPTS, STORES, world
from tests.functional.board_servers import Redis
from tests.functional.service import LOCAL_SOURCES

SEED = 20


def strike(folder, kind, faults, board=None, attempts=MANY_ATTEMPTS):
    """Strike a service of its own with random faults; the audit must find nothing."""
    with world(folder, kind, board, PLUGINS, attempts) as found:
        result = Campaign(found, faults, SEED).run()
        told = [f'seed {SEED}', result.summary(), *result.problems, *result.evidence]
    assert not result.problems, '\n'.join(told)
    assert result.faults >= faults
    assert result.ends[ACTIVE] > faults / 4, result.summary()
    assert result.tasks['success'] > 0, result.summary()


@pytest.mark.parametrize('kind', services.KINDS)
def test_sixty_random_faults_leave_nothing_stuck_leaked_or_wrong(tmp_path, kind):
    strike(tmp_path / 'world', kind, 60)


def test_forty_random_faults_do_so_while_redis_is_restarted_empty(tmp_path):
    if not Redis.installed() or importlib.util.find_spec('redis') is None:
        services.missing(
            "No Redis here: apt install redis-server; pip install 'glance_lite[redis]'"
        )
    strike(tmp_path / 'world', 'postgresql', 40, 'redis', attempts=3)


def test_every_point_of_the_table_is_reached(tmp_path):
    with world(tmp_path / 'world', 'sqlite', None, PLUGINS) as found, disk_source() as source:
        client = Client(found, source, random.Random(SEED))
        client.meddling = 0.0
        for method in (DIRECT, WEB, UPLOAD, COPY):
            image = client.new_image(method)
            if method != UPLOAD:
                last = 'add-locations' if method == COPY else 'activate-image'
                found.arm(f'begin:{last}', 'raise', image.image_id)
            assert client.bring(image) == ACTIVE
            client.delete(image)
            assert client.bring(image) == GONE
        assert not client.problems
        assert not look_at_rest(found, {})
        reached = {line['point'] for line in found.events() if line['what'] == 'reached'}
    assert reached == set(POINTS)


def test_the_page_has_an_answer_for_each_cell_of_the_table():
    assert matrix.read() == set(matrix.cells())
    assert matrix.render_points() in matrix.PAGE.read_text()


# What the audit itself is worth


@pytest.fixture
def engine(make_conf):
    return Engine(make_conf())


@pytest.fixture
def done(engine):
    """Return an engine after one import that went well, and what its client knows."""
    disk = Disk(random.Random(1), size=100_000)
    image_id = engine.stage(bytes(disk.data))
    engine.post(image_id)
    assert engine.conductor().run_pending() == 1
    return engine, Image(image_id, DIRECT, disk)


def problems(engine, folder, *known):
    images = {image.image_id: image for image in known}
    return [
        *audit.records(engine.db),
        *audit.files(engine.db, folder, STORES),
        *audit.hashes(engine.db, images),
        *audit.reasons(engine.db, images, [], MANY_ATTEMPTS),
    ]


def test_an_import_that_went_well_is_no_problem(done, tmp_path):
    engine, image = done
    assert problems(engine, tmp_path, image) == []


@pytest.mark.parametrize('place', ['staging', *STORES])
def test_a_leaked_file_is_found(done, tmp_path, place):
    engine, image = done
    (tmp_path / place / f'{uuid.uuid4()}.1').write_bytes(b'left')
    assert [text for text in problems(engine, tmp_path, image) if 'which no image needs' in text]


def test_a_lost_file_is_found(done, tmp_path):
    engine, image = done
    os.unlink(tmp_path / 'fast' / os.listdir(tmp_path / 'fast')[0])
    assert [text for text in problems(engine, tmp_path, image) if 'has lost' in text]


def test_wrong_data_is_found(done, tmp_path):
    engine, image = done
    path = tmp_path / 'fast' / os.listdir(tmp_path / 'fast')[0]
    path.write_bytes(b'x' + path.read_bytes()[1:])
    assert [text for text in problems(engine, tmp_path, image) if 'has wrong data' in text]


def test_a_hash_that_is_not_that_of_the_data_sent_is_found(done, tmp_path):
    engine, image = done
    image.disk = Disk(random.Random(2), size=100_000)
    assert [text for text in problems(engine, tmp_path, image) if 'has a wrong hash' in text]


def test_a_stuck_import_is_found(engine, tmp_path):
    image_id = engine.stage(1000)
    task_id = engine.post(image_id)
    found = problems(engine, tmp_path)
    assert f'task {task_id} is pending' in found
    assert f'image {image_id} is importing' in found
    assert f'image {image_id} is held by task {task_id}' in found
    assert 'the table jobs has 1 rows' in found


def test_a_failure_that_no_fault_explains_is_found(engine, tmp_path):
    image_id = engine.stage(1000, 'qcow2')
    task_id = engine.post(image_id)
    engine.conductor().run_pending()
    assert [text for text in problems(engine, tmp_path) if task_id in text]
    known = Image(image_id, DIRECT, Disk(random.Random(1)), intended={'format_mismatch'})
    assert not problems(engine, tmp_path, known)


def test_an_image_that_does_not_tell_why_is_found(engine, tmp_path):
    image_id = engine.stage(1000, 'qcow2')
    engine.post(image_id)
    engine.conductor().run_pending()
    with engine.db.writer() as session:
        session.execute(sa.delete(models.image_properties))
    assert f'image {image_id} does not tell why its import failed' in problems(engine, tmp_path)


def wish(task_id, engine, kind='good'):
    """Return what a task was asked for, by name."""
    name = engine.task(task_id).input['image_properties']['name']
    return {name: Wish(name, kind, Disk(random.Random(1), size=100_000))}


@pytest.fixture
def made(make_conf):
    """Return an engine and a task that made its image, as asked for."""
    with disk_source() as source:
        engine = Engine(make_conf(LOCAL_SOURCES))
        source.disks['mine'] = Disk(random.Random(1), size=100_000)
        task_id = engine.post_task(f'{source.url}/mine', name='mine', tags=['wished'])
        assert engine.conductor().run_pending() == 1
        yield engine, task_id
        engine.db.dispose()


def test_a_task_that_went_well_is_no_problem(made):
    engine, task_id = made
    image_id = engine.task(task_id).image_id
    known, found = audit.wished(engine.db, wish(task_id, engine))
    assert not found and list(known) == [image_id]
    assert audit.hashes(engine.db, known) == []
    known[image_id].disk = Disk(random.Random(2), size=100_000)
    assert audit.hashes(engine.db, known)


def test_a_success_without_its_image_and_an_image_of_a_failure_are_found(made):
    engine, task_id = made
    with engine.db.writer() as session:
        session.execute(sa.update(models.tasks).values(status='failure'))
    image_id = engine.task(task_id).image_id
    wishes = wish(task_id, engine)
    assert audit.wished(engine.db, wishes)[1] == [
        f'task {task_id} is a failure, and image {image_id} was there'
    ]
    with engine.db.writer() as session:
        session.execute(sa.update(models.tasks).values(status='success'))
        session.execute(sa.delete(models.images))
    assert audit.wished(engine.db, wishes)[1] == [
        f'task {task_id} is a success, and image {image_id} was never there'
    ]


def event(what, t, pid, gen=1, step='download', **more):
    return {
        'what': what,
        't': t * 10**9,
        'pid': pid,
        'gen': gen,
        'task': 't',
        'step': step,
        'held': True,
        **more,
    }


def test_a_write_after_the_lease_was_taken_is_found():
    events = [
        event('claim', 0, 1),
        event('guard', 1, 1),
        event('claim', 2, 2, gen=2),
        event('written', 2, 1),
    ]
    assert audit.fencing(events) == []
    late = [*events, event('guard', 3, 1), event('written', 3, 1)]
    assert audit.fencing(late) == ['task t: gen 1 wrote after gen 2 had begun']
    assert audit.fencing(late[:-1]) == []


def test_two_conductors_at_once_are_found():
    events = [
        event('begin', 0, 1),
        event('begin', 2, 2, gen=2),
        event('end', 29, 2, gen=2),
        event('failed', 29, 1),
    ]
    assert audit.fencing(events)
    stood = [
        event('begin', 0, 1),
        {'what': 'stopped', 'target': 1, 't': 10**9},
        event('begin', 2, 2, gen=2),
        event('end', 28, 2, gen=2),
        {'what': 'cont', 'target': 1, 't': 29 * 10**9},
        event('failed', 29.1, 1),
    ]
    assert audit.fencing(stood) == []
