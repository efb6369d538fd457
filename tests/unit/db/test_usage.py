# SPDX-License-Identifier: Apache-2.0
"""What a project has is summed as it is, on each kind of database."""

import uuid

from glance_lite.db import images, jobs, tasks, usage
from glance_lite.domain import image as domain
from glance_lite.domain.task import IMPORT, Task


def add(session, owner='p1', places=0, **values):
    image = images.insert(session, domain.Image(str(uuid.uuid4()), owner=owner, **values))
    found = [domain.Location(f'store-{number}', f'x://{number}') for number in range(places)]
    images.set_locations(session, image.image_id, found)
    return image


def test_each_place_of_the_data_counts_and_what_is_deleted_does_not(any_db):
    with any_db.writer() as session:
        assert usage.stored_bytes(session, 'p1') == 0
        add(session, places=2, status='active', size=5 << 40)
        add(session, places=1, status='deactivated', size=7)
        add(session, status='uploading', size=1000)
        add(session)
        add(session, owner='p2', places=1, status='active', size=100)
        gone = add(session, places=3, status='active', size=10000)
        assert images.delete(session, gone.image_id, ['active'])
        assert usage.stored_bytes(session, 'p1') == (10 << 40) + 7
        assert usage.stored_bytes(session, 'p2') == 100
        assert usage.count_images(session, 'p1') == 4


def test_what_is_staged_or_comes(any_db):
    with any_db.writer() as session:
        assert (usage.staged_bytes(session, 'p1'), usage.count_arriving(session, 'p1')) == (0, 0)
        add(session, status='uploading')
        add(session, status='uploading', size=10)
        add(session, status='importing', size=20, import_task_id='t1')
        add(session, status='saving')
        add(session, places=1, status='active', size=40)
        add(session, places=1, status='active', size=80, import_task_id='t2')  # is copied
        add(session, owner='p2', status='importing', size=160, import_task_id='t3')
        for task_id, project, kind in (
            ('t1', 'p1', 'api_image_import'),
            ('t4', 'p1', IMPORT),
            ('t5', 'p2', IMPORT),
        ):
            tasks.insert(session, Task(task_id, None, project, type=kind))
            jobs.post(session, task_id, 'import', {}, project=project)
        assert usage.staged_bytes(session, 'p1') == 30
        assert usage.count_arriving(session, 'p1') == 6
        assert usage.count_arriving(session, 'p2') == 2
