# SPDX-License-Identifier: Apache-2.0
"""How many rows a page of images costs, on every database: as many among many images as among few.

Nothing is timed. PostgreSQL and MariaDB tell how many rows they read; SQLite tells its plan.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from glance_lite.db import image_list, image_sides, models
from glance_lite.db.engine import Database, Session
from glance_lite.domain import image_query

IMAGES = 4000
#: Of a page of 25, with what stands beside its images: a small part of the images.
PAGE_ROWS = 600
#: Where it is first counted whether something is rare.
COUNTED_ROWS = PAGE_ROWS + image_sides.FEW
BEGIN = datetime.datetime(2025, 1, 1)
TABLES = ('images', 'image_properties', 'image_tags', 'image_members')


def fill(session: Session) -> None:
    """Insert the images, the last one the newest; project ``q`` has every other one."""
    rows, properties, tags, members = [], [], [], []
    for number in range(IMAGES):
        image_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        beside = {'image_id': image_id}
        public, shared = number % 100 == 1, number % 10 == 3
        rows.append(
            {
                'id': image_id,
                'name': f'image {number * 7919 % IMAGES}' if number % 50 else None,
                'status': 'active' if number % 100 else 'queued',
                'visibility': 'public' if public else 'shared' if shared else 'private',
                'protected': number % 100 == 5,
                'os_hidden': number % 100 == 7,
                'owner': 'q' if number % 2 else f'small {number // 2 % 100}',
                'size': number * 1000,
                'min_disk': 0,
                'min_ram': 0,
                'created_at': BEGIN + datetime.timedelta(seconds=number),
                'updated_at': BEGIN + datetime.timedelta(days=1, seconds=number * 31 % IMAGES),
                'deleted': False,
            }
        )
        properties += [
            {**beside, 'name': 'bus', 'value': 'virtio' if number % 10 else 'scsi'},
            {**beside, 'name': 'build', 'value': f'{number}{"x" * 100}'},
        ]
        tags.append({**beside, 'value': f'team {number % 100}'})
        if shared:
            answer = {'status': 'accepted', 'created_at': BEGIN, 'updated_at': BEGIN}
            members.append({**beside, **answer, 'member_id': f'small {number // 10 % 20}'})
    session.execute(models.images.insert(), rows)
    session.execute(models.image_properties.insert(), properties)
    session.execute(models.image_tags.insert(), tags)
    session.execute(models.image_members.insert(), members)


class Statements:
    """The statements that a session runs while this is entered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.seen: list[tuple[str, Any]] = []

    def __enter__(self) -> Statements:
        sa.event.listen(self._session, 'before_cursor_execute', self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._session, 'before_cursor_execute', self._note)

    def _note(self, conn: Any, cursor: Any, text: str, values: Any, *rest: Any) -> None:
        self.seen.append((text, values))


def rows_read(session: Session, statement: tuple[str, Any]) -> int:
    """Run a statement once more; return how many rows of tables and indexes it reads."""
    text, values = statement
    if session.dialect.name == 'postgresql':
        explain = f'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}'
        plan = session.exec_driver_sql(explain, values).scalar()
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return sum(_scanned(plan[0]['Plan']))
    before = _handler_reads(session)
    session.exec_driver_sql(text, values).all()
    return _handler_reads(session) - before


def _scanned(node: dict[str, Any]) -> Iterator[int]:
    if 'Relation Name' in node:
        rows = node['Actual Rows'] + node.get('Rows Removed by Filter', 0)
        yield int(rows * node['Actual Loops'])
    for child in node.get('Plans', []):
        yield from _scanned(child)


def _handler_reads(session: Session) -> int:
    """Return the rows read from tables so far, without those of temporary tables."""
    rows = session.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
    return sum(int(value) for name, value in rows if name != 'Handler_read_rnd_next')


def scans(session: Session, statement: tuple[str, Any]) -> list[str]:
    """Return the steps of SQLite's plan that read a whole table without an index."""
    text, values = statement
    plan = session.exec_driver_sql(f'EXPLAIN QUERY PLAN {text}', values).all()
    tables = {*TABLES, 'others'}
    return [
        step.detail
        for step in plan
        if step.detail.split()[0] == 'SCAN' and step.detail.split()[1:] in [[t] for t in tables]
    ]


ADMIN, SMALL, LARGE = (None, True), ('small 6', False), ('q', False)
#: Who asks for what, and how many rows this may read.
PAGES = [
    (ADMIN, {}, PAGE_ROWS),
    (ADMIN, {'sort': 'name:asc'}, PAGE_ROWS),
    (ADMIN, {'sort': 'size:desc'}, PAGE_ROWS),
    (ADMIN, {'sort': 'updated_at:asc'}, PAGE_ROWS),
    (ADMIN, {'sort': 'disk_format:asc'}, PAGE_ROWS),
    (ADMIN, {'marker': '100'}, PAGE_ROWS),
    (ADMIN, {'marker': '100', 'sort': 'name:asc'}, PAGE_ROWS),
    (ADMIN, {'name': 'image 1'}, PAGE_ROWS),
    (ADMIN, {'build': f'77{"x" * 100}'}, PAGE_ROWS),
    (ADMIN, {'tag': 'team 5'}, PAGE_ROWS),
    (ADMIN, {'status': 'queued'}, PAGE_ROWS),
    (ADMIN, {'protected': 'true'}, PAGE_ROWS),
    (ADMIN, {'os_hidden': 'true'}, PAGE_ROWS),
    (ADMIN, {'visibility': 'public'}, PAGE_ROWS),
    (ADMIN, {'size_min': '5000', 'size_max': '9000'}, PAGE_ROWS),
    (ADMIN, {'created_at': 'lt:2025-01-01T00:00:50Z'}, PAGE_ROWS),
    (ADMIN, {'bus': 'virtio'}, COUNTED_ROWS),
    (ADMIN, {'bus': 'virtio', 'sort': 'name:asc'}, COUNTED_ROWS),
    (ADMIN, {'bus': 'virtio', 'tag': 'team 5'}, COUNTED_ROWS),
    (SMALL, {}, PAGE_ROWS),
    (SMALL, {'visibility': 'all'}, PAGE_ROWS),
    (SMALL, {'visibility': 'shared', 'member_status': 'all'}, PAGE_ROWS),
    (SMALL, {'sort': 'name:asc'}, PAGE_ROWS),
    (SMALL, {'tag': 'team 5'}, PAGE_ROWS),
    (SMALL, {'bus': 'virtio'}, COUNTED_ROWS),
    (LARGE, {}, PAGE_ROWS),
    (LARGE, {'marker': '101'}, PAGE_ROWS),
    (LARGE, {'sort': 'name:asc'}, COUNTED_ROWS),
]


@pytest.fixture
def filled(any_db: Database) -> Database:
    """Return a database with the images, which knows how they are spread."""
    with any_db.writer() as session:
        fill(session)
    word = 'ANALYZE TABLE' if any_db.engine.dialect.name in ('mysql', 'mariadb') else 'ANALYZE'
    with any_db.writer() as session:
        for table in TABLES:
            session.exec_driver_sql(f'{word} {table}')
    return any_db


def test_a_page_reads_few_rows(filled: Database) -> None:
    with filled.reader() as session:
        if session.dialect.name == 'postgresql':  # it reads the whole of a table that is small
            session.exec_driver_sql('SET enable_seqscan = off')
        for (project_id, is_admin), params, most in PAGES:
            params = dict(params)
            if 'marker' in params:
                params['marker'] = str(uuid.uuid5(uuid.NAMESPACE_OID, params['marker']))
            query = image_query.parse(params.items(), 25, 1000)
            with Statements(session) as statements:
                page, _ = image_list.list_page(session, query, project_id, is_admin)
            assert page or params.get('tag') == 'team 5', params
            if session.dialect.name == 'sqlite':
                assert [scans(session, each) for each in statements.seen] == [
                    [] for _ in statements.seen
                ], params
            else:
                read = [rows_read(session, each) for each in statements.seen]
                assert sum(read) <= most, (project_id, params, read)
