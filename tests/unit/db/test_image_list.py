# SPDX-License-Identifier: Apache-2.0
"""Pages of images on every database: one order, whatever is NULL."""

from __future__ import annotations

import itertools
import threading
import uuid

import pytest

from glance_lite import exceptions
from glance_lite.db import image_list, images
from glance_lite.db.engine import Database
from glance_lite.domain import image_query
from glance_lite.domain.image import Image


def make(db: Database, **values: object) -> Image:
    with db.writer() as session:
        return images.insert(session, Image(str(uuid.uuid4()), **values))  # type: ignore[arg-type]


def walk(db: Database, *params: tuple[str, str], limit: str = '2') -> list[Image]:
    """Follow the pages to the end."""
    found: list[Image] = []
    marker: list[tuple[str, str]] = []
    while True:
        query = image_query.parse([*params, *marker, ('limit', limit)], 25, 1000)
        with db.reader() as session:
            page, more = image_list.list_page(session, query, 'p', False)
        found += page
        if not more:
            return found
        marker = [('marker', page[-1].image_id)]


def test_pages_meet_without_gap_or_overlap(any_db: Database) -> None:
    for name, size in itertools.product((None, '', 'a', 'B', 'b', 'ä'), (None, 0, 5)):
        make(any_db, owner='p', name=name, size=size)
    for sort in (
        'name:asc,size:desc',
        'size:asc',
        'name:desc',
        'disk_format:asc',
        'updated_at:asc',
        'id:desc',
    ):
        whole = walk(any_db, ('sort', sort), limit='1000')
        assert len(whole) == 18
        assert [image.image_id for image in walk(any_db, ('sort', sort))] == [
            image.image_id for image in whole
        ], sort


def test_names_sort_and_compare_by_their_code_points(any_db: Database) -> None:
    for name in ('b', 'B', 'a', 'ä'):
        make(any_db, owner='p', name=name)
    assert [image.name for image in walk(any_db, ('name', 'b'))] == ['b']


def test_properties_and_tags_filter(any_db: Database) -> None:
    make(any_db, owner='p', name='one', properties={'os': 'x', 'v': '1'}, tags=['t', 'u'])
    make(any_db, owner='p', name='two', properties={'os': 'x'}, tags=['t'])
    make(any_db, owner='q', name='other', properties={'os': 'x'}, tags=['t'])

    def names(*params: tuple[str, str]) -> set[str | None]:
        return {image.name for image in walk(any_db, *params)}

    assert names(('os', 'x')) == {'one', 'two'}
    assert names(('os', 'x'), ('v', '1')) == {'one'}
    assert names(('tag', 't'), ('tag', 'u')) == {'one'}
    assert names(('name', 'in:one,other')) == {'one'}
    assert names(('created_at', 'gt:2001-01-01T00:00:00Z')) == {'one', 'two'}


def test_a_marker_of_another_project_is_none(any_db: Database) -> None:
    hidden = make(any_db, owner='q')
    with pytest.raises(exceptions.InvalidRequest):
        walk(any_db, ('marker', hidden.image_id))


def test_changes_of_one_image_wait_for_each_other(any_db: Database) -> None:
    image_id = make(any_db, owner='p', properties={'count': '0'}).image_id
    failures: list[Exception] = []

    def count() -> None:
        try:
            for _ in range(5):
                with any_db.writer() as session:
                    image = images.get_for_update(session, image_id)
                    value = str(int(image.properties['count']) + 1)
                    images.set_properties(session, image_id, {'count': value})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with any_db.reader() as session:
        assert images.get(session, image_id).properties == {'count': '20'}


def test_a_deleted_image_cannot_be_held(any_db: Database) -> None:
    image = make(any_db, owner='p')
    with any_db.writer() as session:
        assert images.delete(session, image.image_id, ['queued'])
    with any_db.writer() as session, pytest.raises(exceptions.ImageNotFound):
        images.get_for_update(session, image.image_id)
