# SPDX-License-Identifier: Apache-2.0
"""Images in the database: what goes in comes out, and statuses change by compare-and-set."""

import dataclasses
import uuid

import pytest

from glance_lite import exceptions
from glance_lite.db import images
from glance_lite.db.image_statements import COLUMNS, ROW
from glance_lite.domain import image as domain


@pytest.fixture
def image(any_db):
    new = domain.Image(
        str(uuid.uuid4()), name='disk', tags=['b', 'a'], properties={'os': 'x', 'Os': 'y'}
    )
    with any_db.writer() as session:
        images.insert(session, new)
    return new


def read(db, image):
    with db.reader() as session:
        return images.get(session, image.image_id)


def test_an_image_comes_back_as_it_went_in(any_db, image):
    found = read(any_db, image)
    assert found.name == 'disk' and found.tags == ['a', 'b']
    assert found.properties == {'os': 'x', 'Os': 'y'}  # names compare exactly, on MariaDB too
    assert found.created_at == image.created_at


def test_an_id_is_taken_for_ever(any_db, image):
    for _ in range(2):
        with pytest.raises(exceptions.ImageExists), any_db.writer() as session:
            images.insert(session, domain.Image(image.image_id))
        with any_db.writer() as session:
            images.delete(session, image.image_id, [domain.QUEUED])
    with pytest.raises(exceptions.ImageNotFound):
        read(any_db, image)


def test_a_status_changes_only_from_the_expected_one(any_db, image):
    with any_db.writer() as session:
        assert not images.update(
            session, image.image_id, from_status=domain.SAVING, status=domain.ACTIVE
        )
        assert images.update(
            session, image.image_id, from_status=domain.QUEUED, status=domain.UPLOADING
        )
    assert read(any_db, image).status == domain.UPLOADING


def test_one_import_holds_an_image(any_db, image):
    with any_db.writer() as session:
        assert images.hold_for_import(session, image.image_id, 't1', domain.QUEUED)
        assert not images.hold_for_import(session, image.image_id, 't2', domain.QUEUED)
        assert not images.update(session, image.image_id, held_by='t2', name='n')
        assert images.update(session, image.image_id, held_by='t1', import_task_id=None)
    assert read(any_db, image).import_task_id is None


def test_properties_tags_and_locations_are_replaced(any_db, image):
    places = [domain.Location('fast', 'file:///a'), domain.Location('cold', 'file:///b', {'k': 1})]
    with any_db.writer() as session:
        images.set_properties(session, image.image_id, {'os': None, 'Os': 'z', 'new': 'n'})
        images.set_tags(session, image.image_id, ['t', 't'])
        images.set_locations(session, image.image_id, places)
    found = read(any_db, image)
    assert found.properties == {'Os': 'z', 'new': 'n'}
    assert found.tags == ['t'] and found.locations == places


def test_the_columns_are_in_the_order_of_the_attributes():
    names = [field.name for field in dataclasses.fields(domain.Image)]
    assert names[: len(COLUMNS) + 1] == ['image_id', *COLUMNS]


def test_properties_and_tags_come_back_to_the_character(any_db):
    strange = [
        '"',
        "'",
        '\\',
        '\\"',
        '\n\r\t\b\f',
        '\x01\x1f\x7f',
        '{}[],:',
        'é日\u2028\ufeff',
        ' a ',
        '',
    ]
    new = domain.Image(str(uuid.uuid4()), tags=[text for text in strange if text])
    new.properties = {f'p{text}': text for text in strange}
    new.properties |= {f'long {number}': 'x\\"' * 21_000 for number in range(30)}
    with any_db.writer() as session:
        images.insert(session, new)
    found = read(any_db, new)
    assert found.properties == new.properties
    assert found.tags == sorted(new.tags)
    with any_db.reader() as session:
        (listed,) = images.load(session, [session.execute(ROW, {'this_id': new.image_id}).one()])
    assert (listed.properties, listed.tags) == (found.properties, found.tags)
