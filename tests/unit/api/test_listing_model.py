# SPDX-License-Identifier: Apache-2.0
"""Random listings of random images against a small model, on every database.

Among few images, and among so many that databases are led another way (``image_sides.py``).
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from glance_lite.db import image_sides, models
from glance_lite.db.engine import Database
from glance_lite.db.image_statements import COLUMNS
from glance_lite.domain.image import Image

from .conftest import Api

START = datetime.datetime(2026, 1, 1)
#: Who asks -> how the caller tells it, the project, and whether it is an administrator.
CALLERS = {
    'p1': ('p1:member,reader', 'p1', False),
    'p3': ('p3:member,reader', 'p3', False),
    'nobody': ('anonymous', None, False),
    'admin': ('p1:admin,member,reader', 'p1', True),
}
#: The values of the images. The first of each is that of most images.
TEXTS: dict[str, list[str | None]] = {
    'name': ['a', 'A', 'a ', ' a', 'ä', 'a\u0308', 'b%', 'b_', 'x,y', 'q"', 'in:a', '', None],
    'status': ['active', 'queued', 'deactivated', 'importing'],
    'disk_format': ['qcow2', 'raw', None],
    'container_format': ['bare', 'ovf', None],
    'owner': ['p1', 'p2', 'p3', None],
    'checksum': [None, 'c1', 'c2'],
    'os_hash_algo': ['sha512', 'sha256', None],
    'os_hash_value': [None, 'h1', 'h2'],
}
NUMBERS: dict[str, list[int | None]] = {
    'size': [5, 0, 1, 10**12, None],
    'virtual_size': [None, 0, 7],
    'min_disk': [0, 1, 20],
    'min_ram': [0, 512],
}
LONG = 'v' * (models.VALUE_START + 5)
PROPERTIES: dict[str, list[str]] = {
    'os_distro': ['debian', 'Debian', 'debian ', ''],
    'long': [LONG, LONG + '1', LONG[: models.VALUE_START], LONG[:-6]],
    'long ': ['x'],
}
TAGS = ['t', 'T', 't ', 'ü', 'x,y']
VISIBILITIES = ['public', 'shared', 'private', 'community']
ANSWERS = ['accepted', 'pending', 'rejected']
IN = ('name', 'status', 'disk_format', 'container_format', 'id')
SORT_KEYS = (
    'name', 'status', 'container_format', 'disk_format', 'size', 'id', 'created_at', 'updated_at',
)  # fmt: skip
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    'eq': lambda found, wanted: found == wanted,
    'neq': lambda found, wanted: found != wanted,
    'gt': lambda found, wanted: found > wanted,
    'gte': lambda found, wanted: found >= wanted,
    'lt': lambda found, wanted: found < wanted,
    'lte': lambda found, wanted: found <= wanted,
    'in': lambda found, wanted: found in wanted,
}


@dataclasses.dataclass
class Population:
    """All images, and their members: image id -> project -> answer."""

    images: list[Image]
    members: dict[str, dict[str, str]]

    def is_shared(self, image: Image, project: str | None, answer: str = 'all') -> bool:
        """Tell whether a project is a member that answered so."""
        given = self.members[image.image_id].get(project or '')
        return image.visibility == 'shared' and given in (ANSWERS if answer == 'all' else [answer])

    def is_seen(self, image: Image, project: str | None, is_admin: bool) -> bool:
        """Tell whether a caller can show an image."""
        return (
            is_admin
            or image.visibility in ('public', 'community')
            or (project is not None and image.owner == project)
            or self.is_shared(image, project)
        )


@dataclasses.dataclass
class Query:
    """What is asked for. A filter is a name, an operator and a value; an order is key and way."""

    caller: str
    visibility: str | None
    member_status: str | None
    hidden: bool | None
    filters: list[tuple[str, str, Any]]
    tags: list[str]
    sort: list[tuple[str, str]]
    sort_keys: bool
    limit: int | None
    marker: int | None

    def params(self, images: list[Image]) -> list[tuple[str, str]]:
        """Return the query of the URL."""
        found = [_param(*each) for each in self.filters] + [('tag', tag) for tag in self.tags]
        for name in ('visibility', 'member_status', 'limit'):
            if getattr(self, name) is not None:
                found.append((name, str(getattr(self, name))))
        if self.hidden is not None:
            found.append(('os_hidden', str(self.hidden)))
        if self.marker is not None:
            found.append(('marker', images[self.marker % len(images)].image_id))
        if self.sort_keys:
            for key, way in self.sort:
                found += [('sort_key', key), ('sort_dir', way)]
        elif self.sort:
            found.append(('sort', ','.join(f'{key}:{way}' for key, way in self.sort)))
        return found


def _param(name: str, op: str, value: Any) -> tuple[str, str]:
    if op in ('min', 'max'):
        return f'{name}_{op}', str(value)
    if op == 'in':
        quoted = ('"' + each.replace('"', '\\"') + '"' for each in value)
        return name, 'in:' + ','.join(quoted)
    if isinstance(value, datetime.datetime):
        return name, f'{op}:{value.isoformat()}Z'
    return name, f'eq:{value}' if name == 'name' else str(value)


def texts(name: str) -> st.SearchStrategy[Any]:
    values = st.sampled_from([each for each in TEXTS[name] if each is not None] + ['?'])
    one = st.tuples(st.just(name), st.just('eq'), values)
    several = st.tuples(st.just(name), st.just('in'), st.lists(values, min_size=1, max_size=3))
    return one | several if name in IN else one


TIMES = st.builds(
    lambda seconds, micro: START + datetime.timedelta(seconds=seconds, microseconds=micro),
    st.integers(-1, 20),
    st.sampled_from([0, 0, 500_000]),
)
FILTERS = st.one_of(
    *(texts(name) for name in TEXTS),
    *(
        st.tuples(
            st.just(name), st.sampled_from(['eq', 'min', 'max']), st.sampled_from([-1, 0, 1, 5])
        )
        for name in NUMBERS
    ),
    *(
        st.tuples(st.just(name), st.sampled_from(['gt', 'gte', 'lt', 'lte', 'eq', 'neq']), TIMES)
        for name in ('created_at', 'updated_at')
    ),
    *(
        st.tuples(st.just(name), st.just('eq'), st.sampled_from([*values, '?']))
        for name, values in PROPERTIES.items()
    ),
    st.tuples(st.just('protected'), st.just('eq'), st.booleans()),
)  # fmt: skip
QUERIES = st.builds(
    Query,
    caller=st.sampled_from([*CALLERS]),
    visibility=st.sampled_from([None, None, None, 'all', *VISIBILITIES]),
    member_status=st.sampled_from([None, None, 'all', *ANSWERS]),
    hidden=st.sampled_from([None, None, False, True]),
    filters=st.lists(FILTERS, max_size=3),
    tags=st.lists(st.sampled_from([*TAGS, '?']), max_size=2),
    sort=st.lists(
        st.tuples(st.sampled_from(SORT_KEYS), st.sampled_from(['asc', 'desc'])),
        max_size=3,
        unique_by=lambda pair: pair[0],
    ),
    sort_keys=st.booleans(),
    limit=st.sampled_from([None, 0, 1, 2, 7, 40]),
    marker=st.none() | st.integers(0, 10**6),
)


def lists(population: Population, query: Query, image: Image) -> bool:
    """Tell whether a listing has an image on some page."""
    _, project, is_admin = CALLERS[query.caller]
    if image.os_hidden != bool(query.hidden):
        return False
    mine = project is not None and image.owner == project
    if query.visibility not in (None, 'all', image.visibility):
        return False
    if not is_admin:
        open_to_all = ('public',) if query.visibility is None else ('public', 'community')
        answer = query.member_status or 'accepted'
        if not (
            image.visibility in open_to_all
            or mine
            or population.is_shared(image, project, answer)
        ):  # fmt: skip
            return False
    elif query.visibility is None and image.visibility == 'community' and not mine:
        return False
    return all(tag in image.tags for tag in query.tags) and all(
        holds(image, *each) for each in query.filters
    )


def holds(image: Image, name: str, op: str, value: Any) -> bool:
    """Tell whether a filter lets an image pass; nothing can be said of what is not there."""
    if name in PROPERTIES:
        return image.properties.get(name) == value
    found = image.image_id if name == 'id' else getattr(image, name)
    op = {'min': 'gte', 'max': 'lte'}.get(op, op)
    return found is not None and COMPARE[op](found, value)


def in_order(query: Query, images: list[Image]) -> list[Image]:
    """Sort: what is not there comes before everything; ties are broken by time, then by id."""
    order = dict(query.sort) or {'created_at': 'desc'}
    last = [*order.values()][-1]
    for key in ('created_at', 'id'):
        order.setdefault(key, last)
    found = list(images)
    for key, way in reversed(order.items()):
        found.sort(key=lambda image: _key(image, key), reverse=way == 'desc')
    return found


def _key(image: Image, name: str) -> Any:
    value = image.image_id if name == 'id' else getattr(image, name)
    return (-1 if name == 'size' else '') if value is None else value


def make_population(rng: random.Random, count: int) -> Population:
    """Make up images. Most have the first value of everything."""

    def pick(values: Any, most: float = 0.75) -> Any:
        return values[0] if rng.random() < most else rng.choice(values)

    images = []
    for _ in range(count):
        image = Image(str(uuid.UUID(int=rng.getrandbits(128), version=4)))
        for name, values in {**TEXTS, **NUMBERS, 'visibility': VISIBILITIES}.items():
            setattr(image, name, pick(values))
        image.protected, image.os_hidden = rng.random() < 0.1, rng.random() < 0.05
        for name in ('created_at', 'updated_at'):
            micro = rng.choice((0, 0, 500_000))
            moment = datetime.timedelta(seconds=rng.randrange(20), microseconds=micro)
            setattr(image, name, START + moment)
        image.properties = {n: pick(v) for n, v in PROPERTIES.items() if rng.random() < 0.9}
        image.tags = [tag for tag in TAGS if rng.random() < (0.8 if tag == 't' else 0.1)]
        images.append(image)
    members = {
        image.image_id: {
            project: pick(ANSWERS) for project in ('p2', 'p3') if rng.random() < 0.8
        }
        for image in images
    }  # fmt: skip
    return Population(images, members)


def insert(db: Database, population: Population, deleted: set[str]) -> None:
    """Write a population, and which of its images are deleted, in as few statements as possible."""
    images, tables = population.images, models.METADATA.tables
    rows = {
        'images': [
            {
                **{name: getattr(image, name) for name in COLUMNS},
                'id': image.image_id,
                'deleted': image.image_id in deleted,
            }
            for image in images
        ],
        'image_properties': [
            {'image_id': image.image_id, 'name': name, 'value': value}
            for image in images
            for name, value in image.properties.items()
        ],
        'image_tags': [
            {'image_id': image.image_id, 'value': tag} for image in images for tag in image.tags
        ],
        'image_members': [
            {
                'image_id': image_id, 'member_id': project, 'status': status,
                'created_at': START, 'updated_at': START,
            }
            for image_id, answers in population.members.items()
            for project, status in answers.items()
        ],
    }  # fmt: skip
    with db.writer() as session:
        for name, values in rows.items():
            session.execute(tables[name].insert(), values)


def check(api: Api, population: Population, query: Query) -> None:
    """Compare two pages with the model."""
    caller, project, is_admin = CALLERS[query.caller]
    params = query.params(population.images)
    answer = api.get('/v2/images?' + urllib.parse.urlencode(params), caller=caller)
    listed = [image for image in population.images if lists(population, query, image)]
    if query.marker is None:
        expected = in_order(query, listed)
    else:
        marker = population.images[query.marker % len(population.images)]
        if not population.is_seen(marker, project, is_admin):
            assert answer.status_int == 400, (params, answer.text)
            return
        ordered = in_order(query, listed if marker in listed else [*listed, marker])
        expected = ordered[ordered.index(marker) + 1 :]
    limit = 25 if query.limit is None else query.limit
    for page in (expected[:limit], expected[limit : 2 * limit]):
        assert answer.status_int == 200, (params, answer.text)
        found = [image['id'] for image in answer.json['images']]
        assert found == [image.image_id for image in page], params
        expected_more = bool(limit) and len(expected) > limit
        assert ('next' in answer.json) == expected_more, params
        if not expected_more:
            break
        answer = api.get(answer.json['next'], caller=caller)
        expected = expected[limit:]


@pytest.mark.parametrize('count', [40, image_sides.FEW * 2])
def test_pages_have_what_the_model_says(
    any_db: Database, database_url: str, make_api: Callable[..., Api], count: int
) -> None:
    population = make_population(random.Random(count), count)
    deleted = {image.image_id for image in population.images[::30]}
    insert(any_db, population, deleted)
    population.images = [i for i in population.images if i.image_id not in deleted]
    api = make_api(connection=database_url)

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(QUERIES)
    def ask(query: Query) -> None:
        check(api, population, query)

    ask()
