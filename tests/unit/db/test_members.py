# SPDX-License-Identifier: Apache-2.0
"""Members on every database, and which images a project is shown because of them."""

from __future__ import annotations

import itertools
import uuid

import pytest

from glance_lite import exceptions
from glance_lite.db import image_list, images, members
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain
from glance_lite.domain import image_query
from glance_lite.domain.member import STATUSES


def make(db: Database, *member_ids: str, **values: object) -> domain.Image:
    with db.writer() as session:
        image = images.insert(session, domain.Image(str(uuid.uuid4()), **values))  # type: ignore[arg-type]
        for member_id in member_ids:
            members.insert(session, image.image_id, member_id)
    return image


def names(db: Database, project: str | None, admin: bool = False, **params: str) -> str:
    """Return the names of the images that a listing has, in one word."""
    query = image_query.parse([*params.items(), ('sort', 'name:asc')], 1000, 1000)
    with db.reader() as session:
        page, _ = image_list.list_page(session, query, project, admin)
    return ''.join(image.name or '' for image in page)


def test_a_member_is_added_changed_and_removed(any_db: Database) -> None:
    image_id = make(any_db, 'q', 'p').image_id
    with any_db.writer() as session:
        added = members.get(session, image_id, 'q')
        assert (added.status, added.created_at) == ('pending', added.updated_at)
        changed = members.update(session, image_id, 'q', 'accepted')
        assert members.update(session, image_id, 'q', 'accepted').status == 'accepted'
    assert changed.created_at == added.created_at and changed.updated_at > added.updated_at
    with any_db.reader() as session:
        assert [member.member_id for member in members.list_all(session, image_id)] == ['q', 'p']
        assert members.count(session, image_id) == 2
    with any_db.writer() as session:
        members.delete(session, image_id, 'q')
        assert not members.exists(session, image_id, 'q')
        for attempt in (
            lambda: members.get(session, image_id, 'q'),
            lambda: members.update(session, image_id, 'q', 'accepted'),
            lambda: members.delete(session, image_id, 'q'),
        ):
            with pytest.raises(exceptions.MemberNotFound):
                attempt()


def test_a_project_is_a_member_once(any_db: Database) -> None:
    image_id = make(any_db, 'q').image_id
    with pytest.raises(exceptions.MemberExists), any_db.writer() as session:
        members.insert(session, image_id, 'q')


def test_the_members_go_with_the_image(any_db: Database) -> None:
    image_id = make(any_db, 'q', 'r').image_id
    other = make(any_db, 'q').image_id
    with any_db.writer() as session:
        images.delete(session, image_id, [domain.QUEUED])
        assert members.list_all(session, image_id) == []
        assert members.count(session, other) == 1


def test_who_sees_an_image(any_db: Database) -> None:
    seen = {}
    for visibility in domain.VISIBILITIES:
        image = make(any_db, 'q', owner='p', visibility=visibility)
        with any_db.reader() as session:
            seen[visibility] = ''.join(
                project or '-'
                for project in ('p', 'q', 'r', None)
                if members.can_see(session, image, project, False)
            )
            assert members.can_see(session, image, 'r', True)
    assert seen == {'public': 'pqr-', 'community': 'pqr-', 'shared': 'pq', 'private': 'p'}


@pytest.fixture
def shelf(any_db: Database) -> Database:
    """Return a database with images a..d of project p, one of each visibility, that q is a

    member of, e to g that p shares with q in each status, and h of q.
    """
    for name, visibility in zip('abcd', domain.VISIBILITIES, strict=True):
        make(any_db, 'q', owner='p', name=name, visibility=visibility)
    for name, status in zip('efg', ('accepted', 'pending', 'rejected'), strict=True):
        image = make(any_db, 'q', owner='p', name=name)
        with any_db.writer() as session:
            members.update(session, image.image_id, 'q', status)
    make(any_db, 'p', owner='q', name='h')
    return any_db


@pytest.mark.parametrize(
    ('params', 'owner', 'member', 'stranger', 'admin'),
    [
        ({}, 'abcdefg', 'aeh', 'a', 'acdefgh'),
        ({'visibility': 'all'}, 'abcdefg', 'abeh', 'ab', 'abcdefgh'),
        ({'visibility': 'public'}, 'a', 'a', 'a', 'a'),
        ({'visibility': 'community'}, 'b', 'b', 'b', 'b'),
        ({'visibility': 'shared'}, 'cefg', 'eh', '', 'cefgh'),
        ({'visibility': 'private'}, 'd', '', '', 'd'),
        ({'member_status': 'accepted'}, 'abcdefg', 'aeh', 'a', 'acdefgh'),
        ({'member_status': 'pending'}, 'abcdefgh', 'acfh', 'a', 'acdefgh'),
        ({'member_status': 'rejected'}, 'abcdefg', 'agh', 'a', 'acdefgh'),
        ({'member_status': 'all'}, 'abcdefgh', 'acefgh', 'a', 'acdefgh'),
        ({'visibility': 'shared', 'member_status': 'pending'}, 'cefgh', 'cfh', '', 'cefgh'),
        ({'visibility': 'all', 'member_status': 'all'}, 'abcdefgh', 'abcefgh', 'ab', 'abcdefgh'),
        ({'owner': 'p', 'visibility': 'shared'}, 'cefg', 'e', '', 'cefg'),
        ({'owner': 'q', 'member_status': 'all'}, 'h', 'h', '', 'h'),
    ],
)
def test_which_images_a_listing_has(
    shelf: Database,
    params: dict[str, str],
    owner: str,
    member: str,
    stranger: str,
    admin: str,
) -> None:
    assert names(shelf, 'p', **params) == owner
    assert names(shelf, 'q', **params) == member
    assert names(shelf, 'r', **params) == names(shelf, None, **params) == stranger
    assert names(shelf, 'r', admin=True, **params) == admin


def test_administrators_have_the_community_images_of_their_own_project(shelf: Database) -> None:
    assert names(shelf, 'p', admin=True) == 'abcdefgh'


def test_hidden_images_are_listed_when_asked_for(any_db: Database) -> None:
    for status, hidden in itertools.product(STATUSES, (True, False)):
        name = status[0].upper() if hidden else status[0]
        image = make(any_db, 'q', owner='p', name=name, os_hidden=hidden)
        with any_db.writer() as session:
            members.update(session, image.image_id, 'q', status)
    for project, params, expected in (
        ('q', {}, 'a'),
        ('q', {'os_hidden': 'true'}, 'A'),
        ('q', {'os_hidden': 'true', 'member_status': 'all'}, 'APR'),
        ('p', {}, 'apr'),
        ('p', {'os_hidden': 'true'}, 'APR'),
    ):
        assert names(any_db, project, **params) == expected


def test_the_pages_of_a_member_meet(any_db: Database) -> None:
    made = [make(any_db, 'q', owner='p').image_id for _ in range(5)]
    mine = [make(any_db, owner='q').image_id for _ in range(2)]
    found: list[str] = []
    marker: list[tuple[str, str]] = []
    more = True
    while more:
        query = image_query.parse(
            [('limit', '2'), ('sort', 'created_at:asc'), ('member_status', 'pending'), *marker],
            25,
            1000,
        )
        with any_db.reader() as session:
            page, more = image_list.list_page(session, query, 'q', False)
        found += [image.image_id for image in page]
        marker = [('marker', found[-1])]
    assert found == made + mine
