# SPDX-License-Identifier: Apache-2.0
"""What is found to be left over, and what is not removed as somebody needs it by then."""

import datetime
import os
import threading

import pytest
import sqlalchemy as sa

from glance_lite.conductor import litter
from glance_lite.db import images, models, removals, staged, uploads
from glance_lite.domain import image as domain
from glance_lite.testing.stores import put
from tests.engine import Engine


@pytest.fixture
def engine(make_conf):
    found = Engine(make_conf())
    yield found
    found.db.dispose()


def silent_upload(engine, status=domain.UPLOADING):
    """Make an image whose receiver is gone, with what it left; return id and token."""
    image_id = engine.create(status=status)
    with engine.db.writer() as session:
        uploads.begin(session, image_id, 'lost')
        session.execute(sa.update(models.uploads).values(seen_ms=1))
    os.close(engine.services.staging.create(f'{image_id}.lost'))
    return image_id


def names_in(engine, store='fast'):
    return sorted(os.listdir(engine.services.stores.get(store).directory))


# Uploads


def test_an_upload_that_speaks_again_is_left_alone(engine):
    image_id = silent_upload(engine)
    (found,) = litter.silent_uploads(engine.services, 15)
    with engine.db.writer() as session:
        uploads.renew(session, ['lost'])
    assert not found.remove()
    assert engine.image(image_id).status == domain.UPLOADING
    assert engine.leftovers()['staging'] == [f'{image_id}.lost']


def test_an_upload_that_began_since_keeps_its_files(engine):
    image_id = silent_upload(engine)
    (found,) = litter.silent_uploads(engine.services, 15)
    os.close(engine.services.staging.create(f'{image_id}.next'))
    assert found.remove()
    assert engine.leftovers()['staging'] == [f'{image_id}.next']


def test_a_lost_upload_is_given_up_once(engine):
    silent_upload(engine)
    (found,), (again,) = (litter.silent_uploads(engine.services, 15) for _ in range(2))
    assert found.remove() and not again.remove()


def test_what_a_lost_upload_stored_is_noted_for_every_store(engine):
    silent_upload(engine, domain.SAVING)
    (found,) = litter.silent_uploads(engine.services, 15)
    assert found.remove()
    with engine.db.reader() as session:
        assert [note.store for note in removals.list_due(session)] == ['fast', 'cold']


# Staged data


def make_old(engine):
    with engine.db.writer() as session:
        session.execute(sa.update(models.staged).values(created_at=datetime.datetime(2020, 1, 1)))


def test_data_that_was_staged_anew_is_kept(engine):
    image_id = engine.stage(1000)
    make_old(engine)
    (found,) = litter.expired_staged_data(engine.services)
    with engine.db.writer() as session:
        data = staged.get(session, image_id)
        staged.insert(session, staged.Staged(image_id, data.area, f'{image_id}.anew', data.facts))
    assert not found.remove()
    assert engine.image(image_id).status == domain.UPLOADING
    with engine.db.reader() as session:
        assert staged.get(session, image_id).file_name == f'{image_id}.anew'


def test_an_upload_of_other_data_is_not_taken_for_what_expired(engine):
    image_id = engine.stage(1000)
    make_old(engine)
    (found,) = litter.expired_staged_data(engine.services)
    with engine.db.writer() as session:  # the import failed, and the user stages once more
        staged.delete(session, image_id)
        uploads.begin(session, image_id, 'new')
    assert not found.remove()
    assert engine.image(image_id).status == domain.UPLOADING


def test_staged_data_of_an_image_that_has_its_data_goes(engine):
    image_id = engine.stage(1000)
    with engine.db.writer() as session:
        images.update(session, image_id, status=domain.ACTIVE)
    (found,) = litter.expired_staged_data(engine.services)
    assert (found.what, found.size) == (image_id, 1000) and found.remove()
    assert engine.image(image_id).status == domain.ACTIVE
    assert engine.leftovers()['staging'] == []


def test_staged_data_of_another_host_leaves_only_its_record(engine):
    image_id = engine.stage(1000)
    make_old(engine)
    with engine.db.writer() as session:
        session.execute(sa.update(models.staged).values(area='other'))
    (found,) = litter.expired_staged_data(engine.services)
    assert found.remove()
    assert engine.image(image_id).status == domain.QUEUED
    assert engine.leftovers()['staging'] == [
        f'{image_id}.upload-1'
    ]  # its own host's janitor sees it


def test_the_age_of_staged_data_counts_by_the_clock_of_the_database(engine):
    engine.stage(1000)
    with engine.db.reader() as session:
        assert staged.list_older(session, -60) and not staged.list_older(session, 60)


# Files


def test_a_stray_file_that_an_import_needs_by_now_is_kept(engine):
    image_id = engine.stage(1000)
    os.close(engine.services.staging.create(f'{image_id}.old'))
    (found,) = litter.stray_files(engine.services, 0, 60)
    assert (found.what, found.reason) == (f'{image_id}.old', 'nothing needs it')
    engine.post(image_id)
    assert not found.remove()
    assert len(engine.leftovers()['staging']) == 2


def test_young_files_are_not_found(engine):
    os.close(engine.services.staging.create(f'{engine.create()}.new'))
    assert list(litter.stray_files(engine.services, 60, 60)) == []


# Orphans


def find_orphans(engine, grace=0, unknown=False, store='fast'):
    found = litter.orphans(engine.services, engine.services.stores.get(store), grace, unknown)
    return {item.what: item for item in found}


def test_data_that_belongs_to_nobody_is_found_with_its_reason(engine):
    store = engine.services.stores.get('fast')
    active = engine.stage(1000)
    engine.post(active)
    engine.conductor().run_pending()
    (owned,) = names_in(engine)
    queued, deleted = engine.create(), engine.create()
    with engine.db.writer() as session:
        images.delete(session, deleted, [domain.QUEUED])
    for image_id in (active, queued, deleted):
        put(store, image_id, 'left', b'1234')
    store.open_writer(queued, 'half').write(memoryview(b'12'))
    found = find_orphans(engine)
    assert {name: (item.reason, item.size) for name, item in found.items()} == {
        f'{active}.left': ('its image has other data', 4),
        f'{queued}.left': ('its image has no data', 4),
        f'{queued}.half.part': ('its image has no data', 2),
        f'{deleted}.left': ('its image is deleted, or was never made', 4),
    }
    assert all(item.remove() for item in found.values())
    assert names_in(engine) == [owned]


def test_what_somebody_may_need_is_no_orphan(engine):
    store = engine.services.stores.get('fast')
    importing, uploading, noted = engine.stage(1000), engine.create(), engine.create()
    engine.post(importing)
    with engine.db.writer() as session:
        uploads.begin(session, uploading, 'token')
    for image_id in (importing, uploading, noted):
        url = put(store, image_id, 'a', b'1').url
    with engine.db.writer() as session:
        removals.note(session, noted, [domain.Location('fast', url)])
    assert find_orphans(engine) == {}


def test_an_orphan_that_is_owned_by_now_is_kept(engine):
    image_id = engine.create()
    url = put(engine.services.stores.get('fast'), image_id, 'a', b'1').url
    (found,) = find_orphans(engine).values()
    with engine.db.writer() as session:
        images.set_locations(session, image_id, [domain.Location('fast', url)])
    assert not found.remove()
    assert names_in(engine) == [f'{image_id}.a']


def test_young_data_is_no_orphan(engine):
    put(engine.services.stores.get('fast'), engine.create(), 'a', b'1')
    assert find_orphans(engine, grace=60) == {} != find_orphans(engine)


def test_data_of_another_service_is_reported_and_kept_unless_told_otherwise(engine):
    store = engine.services.stores.get('fast')
    put(store, 'c0ffee00-0000-4000-8000-000000000000', 'a', b'12')
    name = 'c0ffee00-0000-4000-8000-000000000000.a'
    for number in range(2):  # named by nobody of this kind
        with open(os.path.join(store.directory, f'{number}'), 'wb') as file:
            file.write(b'123')
    found = find_orphans(engine)
    assert found[name].remove is None and 'no image of this id' in found[name].reason
    assert (found['2 files'].size, found['2 files'].remove) == (6, None)
    found = find_orphans(engine, unknown=True)
    assert found['2 files'].remove is None and found[name].remove()
    assert names_in(engine) == ['0', '1']


@pytest.mark.parametrize(
    ('store_id', 'url'),
    [
        ('fast', 'file:///before/moving/{}.a'),
        ('name-of-before', 'file:///before/renaming/{}.a'),
    ],
)
def test_data_of_images_stays_when_a_store_was_moved_or_renamed(engine, store_id, url):
    image_id = engine.create(status=domain.ACTIVE)
    place = domain.Location(store_id, url.format(image_id))
    with engine.db.writer() as session:
        images.set_locations(session, image_id, [place])
    put(engine.services.stores.get('fast'), image_id, 'a', b'1')
    assert find_orphans(engine) == {}


def test_a_copy_in_a_store_that_was_given_up_is_an_orphan_beside_one_of_the_same_name(engine):
    image_id = engine.create(status=domain.ACTIVE)
    good = put(engine.services.stores.get('fast'), image_id, 'a', b'1')
    put(engine.services.stores.get('cold'), image_id, 'a', b'1')
    with engine.db.writer() as session:
        images.set_locations(session, image_id, [domain.Location('fast', good.url)])
    assert find_orphans(engine, store='fast') == {}
    assert list(find_orphans(engine, store='cold')) == [f'{image_id}.a']


def test_many_orphans_are_asked_about_in_batches(engine):
    store = engine.services.stores.get('fast')
    for number in range(450):
        put(store, f'{number:08}-0000-4000-8000-000000000000', 'a', b'')
    assert len(find_orphans(engine)) == 450


# Several janitors


def test_janitors_that_meet_do_the_work_once(make_conf, database_url):
    engine = Engine(make_conf(connection=database_url))
    ids = [silent_upload(engine, domain.SAVING) for _ in range(6)]
    for image_id in ids:
        put(engine.services.stores.get('fast'), image_id, 'a', b'1')
    done, errors = [], []

    def work():
        try:
            for find in (
                lambda: litter.silent_uploads(engine.services, 15),
                lambda: litter.due_removals(engine.services),
            ):
                done.extend(item.kind for item in find() if item.remove())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and done.count('upload') == 6
    for item in litter.due_removals(engine.services, again=True):
        item.remove()  # what one of them had just taken when another looked
    assert names_in(engine) == [] and engine.leftovers()['staging'] == []
    engine.db.dispose()
