# SPDX-License-Identifier: Apache-2.0
"""Many clients that change, tag, share, fill, deactivate and delete the same few images at once.

``GLANCE_LITE_CONCURRENCY_SECONDS`` is for how long on each database, in seconds. The clients note
each call with its times and answer, and the database notes each status by a trigger, whoever set
it; the notes are judged at the end.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import itertools
import json
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa

from tests.functional.service import Service, service

SECONDS = float(os.environ.get('GLANCE_LITE_CONCURRENCY_SECONDS', '5'))
CLIENTS = 32
IMAGES = 10
#: Of these clients make up deletions; the others live to the end, so that their last state counts.
MORTAL = 6
#: Seconds with the same images; then come new ones, as the first are gone.
ROUND = 5.0
DATA = b'concurrent' * 100
OCTETS = {'Content-Type': 'application/octet-stream'}
PATCH = {'Content-Type': 'application/openstack-images-v2.1-json-patch'}
FORMATS = {'disk_format': 'raw', 'container_format': 'bare'}

#: What a call may be answered while others work on the image; 404 only when it is being deleted.
ALLOWED = {
    'show': {200, 404},
    'patch': {200, 404},
    'tag': {204, 404},
    'untag': {204, 404},
    'share': {200, 404},
    'answer': {200, 404},
    'unshare': {204, 404},
    'deactivate': {204, 403, 404},
    'reactivate': {204, 403, 404},
    'upload': {204, 404, 409, 410},
    'stage': {204, 404, 409, 410},
    'import': {202, 404, 409},
    'delete': {204, 404},
}
#: Images API v2, "Image status transitions", as far as these clients go.
TRANSITIONS = {
    'queued': {'saving', 'uploading', 'deleted'},
    'saving': {'active', 'deleted'},
    'uploading': {'importing', 'deleted'},
    'importing': {'active', 'deleted'},
    'active': {'deactivated', 'deleted'},
    'deactivated': {'active', 'deleted'},
    'deleted': set(),
}
TRIGGERS = {
    'sqlite': [
        'CREATE TABLE noted (id INTEGER PRIMARY KEY, image TEXT, old TEXT, new TEXT)',
        'CREATE TRIGGER note AFTER UPDATE ON images WHEN OLD.status <> NEW.status BEGIN '
        'INSERT INTO noted (image, old, new) VALUES (NEW.id, OLD.status, NEW.status); END',
    ],
    'postgresql': [
        'CREATE TABLE noted (id SERIAL PRIMARY KEY, image TEXT, old TEXT, new TEXT)',
        'CREATE FUNCTION note() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted '
        '(image, old, new) VALUES (NEW.id, OLD.status, NEW.status); RETURN NULL; END $$',
        'CREATE TRIGGER note AFTER UPDATE ON images FOR EACH ROW '
        'WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION note()',
    ],
    'mysql': [
        'CREATE TABLE noted (id SERIAL, image TEXT, old TEXT, new TEXT)',
        'CREATE TRIGGER note AFTER UPDATE ON images FOR EACH ROW IF OLD.status <> NEW.status THEN '
        'INSERT INTO noted (image, old, new) VALUES (NEW.id, OLD.status, NEW.status); END IF',
    ],
}


@dataclasses.dataclass
class Call:
    """One call of a client, with the seconds when it began and when its answer was there."""

    image: str
    name: str
    began: float
    ended: float
    status: int
    text: str


class Shared:
    """An image that all clients work on, and what each of them was told of its own fields."""

    def __init__(self, image_id: str, number: int, deletable_at: float) -> None:
        self.image_id, self.number, self.deletable_at = image_id, number, deletable_at
        #: By client: the number it sent last, and the last one that was confirmed.
        self.sent = dict.fromkeys(range(CLIENTS), 0)
        self.confirmed = dict.fromkeys(range(CLIENTS), 0)
        #: By client: whether it tagged the image, and what its project answered as a member.
        self.tagged: set[int] = set()
        self.members: dict[int, str] = {}


class Client:
    """One of the clients. Its property, tag and project are its own, the image is not."""

    def __init__(self, url: str, number: int, seed: int) -> None:
        self.url, self.number = url, number
        self.rng = random.Random(seed)
        self.session = requests.Session()
        self.calls: list[Call] = []
        self.problems: list[str] = []

    def call(
        self, image: Shared, name: str, method: str, path: str = '', **options: Any
    ) -> requests.Response:
        """Send a request about an image, and note it."""
        began = time.monotonic()
        answer = self.session.request(
            method, f'{self.url}/v2/images/{image.image_id}{path}', timeout=120, **options
        )
        self.calls.append(
            Call(
                image.image_id, name, began, time.monotonic(), answer.status_code, answer.text[:200]
            )
        )
        return answer

    def work(self, images: list[Shared], until: float) -> None:
        """Do one thing after the other until the time is over."""
        while time.monotonic() < until:
            dying = [image for image in images if image.deletable_at < time.monotonic()]
            if dying and self.rng.random() < 0.8:  # the others do something to it, too
                self.rng.choice((self.delete, self.move, self.patch))(dying[-1])
                continue
            image = self.rng.choice(images)
            step = self.rng.choice((self.show, self.patch, self.patch, self.tag, self.member))
            step(image)
            if self.rng.random() < 0.3:
                self.move(image)

    def delete(self, image: Shared) -> None:
        """Delete the image, if nobody was quicker."""
        self.call(image, 'delete', 'DELETE')
        image.deletable_at = math.inf

    def show(self, image: Shared) -> None:
        """Read the image: nothing of anybody is lost."""
        floor = dict(image.confirmed)
        self.check(image, self.call(image, 'show', 'GET'), floor)

    def patch(self, image: Shared) -> None:
        """Write the client's own property, and two of all clients that belong together."""
        floor = dict(image.confirmed)
        value = image.sent[self.number] = image.sent[self.number] + 1
        floor[self.number] = value
        both = f'{self.number}-{value}'
        body = [
            {'op': 'add', 'path': f'/own_{self.number}', 'value': str(value)},
            {'op': 'replace', 'path': '/name', 'value': both},
            {'op': 'add', 'path': '/same_as_name', 'value': both},
        ]
        answer = self.call(image, 'patch', 'PATCH', data=json.dumps(body), headers=PATCH)
        if answer.status_code == 200:
            image.confirmed[self.number] = value
            if answer.json()['name'] != both:
                self.problems.append(f'{both} is not in its own answer: {answer.text}')
        self.check(image, answer, floor)

    def tag(self, image: Shared) -> None:
        """Tag the image, or take that tag away."""
        path = f'/tags/t{self.number}'
        if self.number in image.tagged:
            if self.call(image, 'untag', 'DELETE', path).status_code == 204:
                image.tagged.remove(self.number)
        elif self.call(image, 'tag', 'PUT', path).status_code == 204:
            image.tagged.add(self.number)

    def member(self, image: Shared) -> None:
        """Share the image with the client's project, answer for it, or end that."""
        project = f'p{self.number}'
        now = image.members.get(self.number)
        if now is None:
            answer = self.call(image, 'share', 'POST', '/members', json={'member': project})
            if answer.status_code == 200:
                image.members[self.number] = 'pending'
        elif now == 'pending':
            body = {'status': self.rng.choice(('accepted', 'rejected'))}
            answer = self.call(image, 'answer', 'PUT', f'/members/{project}', json=body)
            if answer.status_code == 200:
                image.members[self.number] = body['status']
        elif self.call(image, 'unshare', 'DELETE', f'/members/{project}').status_code == 204:
            del image.members[self.number]

    def move(self, image: Shared) -> None:
        """Bring the image into another status, if it is in one that allows it."""
        way = ('stage', 'import') if image.number % 2 else ('upload',)
        name = self.rng.choice((*way, 'deactivate', 'reactivate'))
        if name in ('upload', 'stage'):
            path = '/file' if name == 'upload' else '/stage'
            self.call(image, name, 'PUT', path, data=DATA, headers=OCTETS)
        elif name == 'import':
            self.call(image, name, 'POST', '/import', json={'method': {'name': 'glance-direct'}})
        else:
            self.call(image, name, 'POST', f'/actions/{name}')

    def check(self, image: Shared, answer: requests.Response, floor: dict[int, int]) -> None:
        """See that an answer has what was confirmed before it was asked for, and no mixture."""
        if answer.status_code != 200:
            return
        shown = answer.json()
        if shown['name'] != shown.get('same_as_name', shown['name']):
            self.problems.append(f'half of a patch was shown: {answer.text}')
        ceiling = dict(image.sent)
        for client, least in floor.items():
            found = int(shown.get(f'own_{client}', 0))
            if not least <= found <= ceiling[client]:
                self.problems.append(
                    f'own_{client} is {found}, not within {least} and {ceiling[client]}: '
                    f'{answer.text}'
                )
        if (f't{self.number}' in shown['tags']) != (self.number in image.tagged):
            self.problems.append(f'the tag of {self.number} is wrong: {answer.text}')


def check_last_state(api: Service, image: Shared) -> None:
    """See that an image that was not deleted has exactly what was confirmed to all clients."""
    shown = api.image(image.image_id)
    assert {n: int(shown.get(f'own_{n}', 0)) for n in range(CLIENTS)} == image.confirmed
    assert shown['tags'] == sorted(f't{number}' for number in image.tagged)
    assert shown['name'] == shown['same_as_name']
    members = api.request('GET', f'/v2/images/{image.image_id}/members').json()['members']
    assert {each['member_id']: each['status'] for each in members} == {
        f'p{number}': status for number, status in image.members.items()
    }
    if shown['status'] == 'active':
        assert api.request('GET', f'/v2/images/{image.image_id}/file').content == DATA


def check_deletion(calls: list[Call]) -> None:
    """See that an image was deleted once, was there before, and was not there after."""
    deletions = [call for call in calls if call.name == 'delete' and call.status == 204]
    gone = [call for call in calls if call.status in (404, 410)]
    if not deletions:
        assert not gone, gone[:5]
        return
    (deletion,) = deletions
    early = [call for call in gone if call.ended < deletion.began]
    late = [call for call in calls if call.began > deletion.ended and call.status != 404]
    assert (early, late) == ([], [])


def read_statuses(url: str) -> dict[str, list[tuple[str, str]]]:
    """Return by image what its status was and became, in order, as the database noted it."""
    found: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        for image, old, new in connection.execute(
            sa.text('SELECT image, old, new FROM noted ORDER BY id')
        ):
            found[image].append((old, new))
    return found


def check_statuses(calls: list[Call], noted: list[tuple[str, str]]) -> None:
    """See that each status followed from the one before, and that clients were told the truth."""
    assert all(new in TRANSITIONS[old] for old, new in noted), noted
    assert [old for old, _ in noted] == ['queued', *(new for _, new in noted)][: len(noted)], noted
    told = collections.Counter(call.name for call in calls if call.status in (202, 204))
    became = collections.Counter(new for _, new in noted)
    # who loses the race for these is told so; the later of two deactivations is no change
    assert told['import'] == became['importing'], noted
    assert told['delete'] == became['deleted'], noted
    assert told['upload'] <= became['saving'] <= 1, noted
    assert told['stage'] <= became['uploading'] <= 1, noted
    assert told['deactivate'] >= became['deactivated'], noted
    assert told['reactivate'] >= noted.count(('deactivated', 'active')), noted


def make_images(api: Service, begun: float) -> Iterator[Shared]:
    for number in range(IMAGES):
        later = begun + ROUND * (0.5 + 0.06 * number) if number < MORTAL else math.inf
        yield Shared(api.create(**FORMATS, visibility='shared'), number, later)


def test_clients_of_the_same_images_meet_no_error_and_lose_nothing(
    database_url: str, tmp_path: Path
) -> None:
    kind = sa.make_url(database_url).get_backend_name()
    with service(tmp_path, database_url, '[DEFAULT]\nworkers = 2\n') as api:
        engine = sa.create_engine(database_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in TRIGGERS[kind]:
                connection.exec_driver_sql(statement)
        clients = [Client(api.url, number, seed=number) for number in range(CLIENTS)]
        ends_at = time.monotonic() + SECONDS
        while (begun := time.monotonic()) < ends_at - 1:
            images = list(make_images(api, begun))
            with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
                work = [pool.submit(each.work, images, begun + ROUND) for each in clients]
                for each in work:
                    each.result()
            calls = sorted(itertools.chain(*(c.calls for c in clients)), key=lambda c: c.began)
            check_calls(clients, calls)
            for image in images:
                about = [call for call in calls if call.image == image.image_id]
                check_deletion(about)
                if not any(call.name == 'delete' and call.status == 204 for call in about):
                    check_last_state(api, image)
        for client in clients:
            client.session.close()
        noted = read_statuses(database_url)
        for image_id in {call.image for call in calls}:
            check_statuses([call for call in calls if call.image == image_id], noted[image_id])
        seen = collections.Counter((call.name, call.status) for call in calls)
        done = {name for name, status in seen if status < 300}
        assert done >= {'show', 'patch', 'tag', 'share', 'deactivate', 'delete'}, seen


def check_calls(clients: list[Client], calls: list[Call]) -> None:
    """See that no answer was one that nobody expects."""
    assert [problem for client in clients for problem in client.problems] == []
    wrong = [call for call in calls if call.status not in ALLOWED[call.name]]
    assert wrong == [], (len(wrong), wrong[:5])
