# SPDX-License-Identifier: Apache-2.0
"""Notifications of a real service at RabbitMQ, and a broker that is not there."""

from __future__ import annotations

import collections
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest

from tests.functional.processes import free_port
from tests.functional.service import Service, service
from tests.services import missing

VARIABLE = 'GLANCE_LITE_TEST_RABBITMQ'
BROKER = os.environ.get(VARIABLE, 'amqp://guest:guest@127.0.0.1:5672//')
#: What the story below makes happen, and how often.
STORY = {
    'image.create': 2,
    'image.update': 4,
    'image.prepare': 2,
    'image.upload': 2,
    'image.activate': 2,
    'image.send': 1,
    'image.delete': 2,
    'image.member.create': 1,
    'image.member.update': 1,
    'image.member.delete': 1,
    'task.create': 1,
    'task.run': 1,
    'task.processing': 1,
    'task.success': 1,
}


class Listener:
    """A consumer with a queue of its own at the broker."""

    def __init__(self, connection: kombu.Connection) -> None:
        self.name = f'glance-lite-test-{uuid.uuid4().hex[:12]}'
        self._connection = connection
        self._channel = connection.channel()
        exchange = kombu.Exchange(self.name, type='topic', durable=False)
        self._queues = [
            kombu.Queue(
                f'{self.name}.{priority}',
                exchange,
                f'{self.name}.{priority}',
                channel=self._channel,
                durable=False,
            )
            for priority in ('info', 'error')
        ]
        for queue in self._queues:
            queue.declare()
        self.messages: list[dict[str, Any]] = []

    def read(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """Return all messages once there are so many, and a moment more for those too many."""
        until = time.monotonic() + seconds
        while len(self.messages) < count and time.monotonic() < until:
            if not self._take():
                time.sleep(0.05)
        while self._take():
            pass
        return self.messages

    def _take(self) -> bool:
        found = [message for queue in self._queues if (message := queue.get(no_ack=True))]
        for message in found:
            self.messages.append(json.loads(json.loads(message.body)['oslo.message']))
        return bool(found)

    def close(self) -> None:
        """Remove the queues and the exchange."""
        for queue in self._queues:
            queue.delete()
        kombu.Exchange(self.name, channel=self._channel).delete()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with kombu.Connection(BROKER, connect_timeout=5) as connection:
        try:
            connection.ensure_connection(max_retries=1)
        except Exception as error:
            missing(
                f'No RabbitMQ answers at {connection.host}. Install and start it '
                f'(apt install rabbitmq-server), or set {VARIABLE}. ({error})'
            )
        found = Listener(connection)
        yield found
        found.close()


def notifying(name: str, broker: str = BROKER, more: str = '') -> str:
    """Return the configuration that sends to a queue of this name."""
    url = broker.replace('amqp://', 'rabbit://').removesuffix('/')
    return (
        f'[DEFAULT]\ncontrol_exchange = {name}\ndefault_publisher_id = image.test\n{more}'
        f'[oslo_messaging_notifications]\ndriver = messagingv2\ntopics = {name}\n'
        f'transport_url = {url}\n'
    )


def tell_story(api: Service) -> None:
    """Do each thing that others are told of."""
    uploaded, imported = api.create(), api.create(tags=['b'])
    assert api.put(uploaded, b'u' * 3000, to='file').status_code == 204
    assert api.put(imported, b'i' * 3000).status_code == 204
    assert api.post_import(imported).status_code == 202
    assert api.wait(imported)['status'] == 'success'
    api.sha512(uploaded)
    path = f'/v2/images/{uploaded}'
    api.replace(uploaded, name='new')
    assert api.request('PUT', f'{path}/tags/a').status_code == 204
    assert api.request('PUT', f'{path}/tags/a').status_code == 204  # nothing happens
    assert api.request('DELETE', f'{path}/tags/a').status_code == 204
    assert api.request('POST', f'{path}/actions/deactivate').status_code == 204
    members = f'{path}/members'
    assert api.request('POST', members, json={'member': 'p2'}).status_code == 200
    answer = {'status': 'accepted'}
    assert api.request('PUT', f'{members}/p2', json=answer).status_code == 200
    assert api.request('DELETE', f'{members}/p2').status_code == 204
    for image_id in (uploaded, imported):
        assert api.request('DELETE', f'/v2/images/{image_id}').status_code == 204


def test_each_event_of_a_story_arrives_once(listener: Listener, tmp_path: Path) -> None:
    with service(tmp_path, extra=notifying(listener.name)) as api:
        tell_story(api)
        messages = listener.read(sum(STORY.values()))
    messages = listener.read(sum(STORY.values()))  # nothing comes while it ends
    assert dict(collections.Counter(each['event_type'] for each in messages)) == STORY
    assert len({each['message_id'] for each in messages}) == len(messages)
    assert {each['publisher_id'] for each in messages} == {'image.test'}
    text = json.dumps(messages)
    assert str(tmp_path) not in text and 'file://' not in text
    (sending,) = (each for each in messages if each['event_type'] == 'image.send')
    assert (sending['priority'], sending['payload']['bytes_sent']) == ('INFO', 3000)
    assert sending['payload']['destination_ip'] == '127.0.0.1'


def test_a_download_that_was_cut_short_is_an_error(listener: Listener, tmp_path: Path) -> None:
    only = 'disabled_notifications = image.create, image.prepare, image.upload, image.activate\n'
    with service(tmp_path, extra=notifying(listener.name, more=only)) as api:
        image_id = api.create()
        size = 64 << 20
        assert api.put(image_id, b'\0' * size, to='file').status_code == 204
        with api.request('GET', f'/v2/images/{image_id}/file', stream=True) as answer:
            answer.raw.read(100_000)
        (sending,) = listener.read(1)
    assert (sending['event_type'], sending['priority']) == ('image.send', 'ERROR')
    assert sending['payload']['bytes_sent'] < size


def test_a_broker_that_is_away_costs_requests_nothing(tmp_path: Path) -> None:
    nobody = f'amqp://guest:hush@127.0.0.1:{free_port()}/'
    with service(tmp_path, extra=notifying('nowhere', broker=nobody)) as api:
        began = time.monotonic()
        tell_story(api)
        took = time.monotonic() - began
        stopping = time.monotonic()
        assert api.process.stop() == 0
        assert time.monotonic() - stopping < 20
    # one attempt to connect alone waits longer than the whole story may take
    assert took < 20
    log = api.process.text()
    assert 'hush' not in log and 'Traceback' not in log
    assert log.count('takes no notifications, so they wait') <= 3  # once in each process
    assert 'notifications were not sent before the end' in log
    assert log.count(' ERROR ') <= 3
