# SPDX-License-Identifier: Apache-2.0
"""Notifications: what is sent, by whom it is described, and that nobody ever waits for a broker."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from oslo_config import cfg

from glance_lite import exceptions, notifications
from glance_lite.domain import task as task_domain
from glance_lite.domain.image import Image, Location
from glance_lite.notifications import (
    MOST_WAITING,
    BrokerAway,
    Notifier,
    QueueNotifier,
    notifier_for,
)
from tests.engine import Engine

ON = '[oslo_messaging_notifications]\ndriver = messagingv2\n'
Sent = list[tuple[str, dict[str, Any], str]]


@pytest.fixture
def sent() -> Sent:
    return []


@pytest.fixture
def notifier(sent: Sent) -> QueueNotifier:
    return QueueNotifier(lambda: lambda *event: sent.append(event), frozenset())


def image(**values: Any) -> Image:
    return Image('i', name='disk', owner='p1', properties={'a': 'b'}, tags=['x'], **values)


def test_it_is_off_unless_a_driver_is_named(conf: cfg.ConfigOpts, make_conf: Any) -> None:
    assert type(notifier_for(conf)) is Notifier
    quiet = make_conf('[oslo_messaging_notifications]\ndriver = noop\n')
    assert type(notifier_for(quiet)) is Notifier
    Notifier().image('create', image())
    Notifier().close(1)


def test_what_there_is_not_stops_the_start(make_conf: Callable[..., cfg.ConfigOpts]) -> None:
    with pytest.raises(exceptions.ConfigError, match="no driver 'mesaging'"):
        notifier_for(make_conf(ON.replace('messagingv2', 'mesaging')))
    with pytest.raises(exceptions.ConfigError, match=r"no event or group 'image\.sent'"):
        notifier_for(make_conf('[DEFAULT]\ndisabled_notifications = image.sent\n' + ON))


def test_a_wrong_broker_is_told_without_its_password(
    make_conf: Callable[..., cfg.ConfigOpts],
) -> None:
    with pytest.raises(exceptions.ConfigError, match='transport_url') as refused:
        notifier_for(make_conf(ON + 'transport_url = rabbitt://me:hush@127.0.0.1/\n'))
    assert 'hush' not in str(refused.value)


@pytest.mark.parametrize(
    ('disabled', 'left'),
    [
        (['image.send'], {'image.create', 'image.member.create', 'task.run'}),
        (['image.member'], {'image.create', 'image.send', 'task.run'}),
        (['image'], {'task.run'}),
        (['task', 'image.member.create'], {'image.create', 'image.send'}),
    ],
)
def test_events_are_turned_off_one_by_one_or_by_group(disabled: list[str], left: set[str]) -> None:
    found = QueueNotifier(lambda: lambda *event: None, frozenset(disabled))
    asked = ('image.create', 'image.send', 'image.member.create', 'task.run')
    assert {event for event in asked if found.wants(event)} == left


def test_an_image_is_described_without_its_locations(notifier: QueueNotifier, sent: Sent) -> None:
    places = [Location('fast', 'file:///secret/place'), Location('cold', 's3://key:hush@host/x')]
    notifier.image('create', image(locations=places))
    notifier.image('delete', image(locations=places), deleted=True)
    notifier.close(10)
    (created, deleted) = (payload for _, payload, _ in sent)
    assert [event for event, _, _ in sent] == ['image.create', 'image.delete']
    assert created['backend'] == 'fast,cold' and created['properties'] == {'a': 'b'}
    assert (created['deleted'], deleted['deleted']) == (False, True)
    assert 'secret' not in json.dumps(created) and 'hush' not in json.dumps(deleted)


def test_a_broker_that_is_away_holds_nobody_up_and_is_told_once(
    sent: Sent, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, 'FIRST_PAUSE_SECONDS', 0.001)
    monkeypatch.setattr(notifications, 'MOST_PAUSE_SECONDS', 0.001)
    tries: list[Any] = []
    tried, there = threading.Event(), threading.Event()

    def send(*event: Any) -> None:
        tries.append(event)
        if len(tries) == 2:  # the log has the first
            tried.set()
        if not there.is_set():
            raise BrokerAway('connection refused')
        sent.append(event)

    notifier = QueueNotifier(lambda: send, frozenset())
    notifier.emit('image.update', {'number': 0})
    assert tried.wait(30)
    for number in range(1, MOST_WAITING + 501):
        notifier.emit('image.update', {'number': number})
    notifier.close(0)  # gives up at once
    there.set()
    notifier.close(30)
    # none that was taken is lost, and none overtakes another
    assert [payload['number'] for _, payload, _ in sent] == list(range(MOST_WAITING + 1))
    notifier.emit('image.update', {'number': -1})
    notifier.close(30)
    assert sent[-1][1] == {'number': -1}
    assert [record.getMessage() for record in caplog.records] == [
        'The broker takes no notifications, so they wait: connection refused',
        f'Notifications are lost from now on: {MOST_WAITING} wait already',
        f'{MOST_WAITING + 1} notifications were not sent before the end',
        'The broker takes notifications again; 500 were lost',
    ]


def test_one_that_cannot_be_sent_keeps_none_of_the_others(sent: Sent) -> None:
    def send(event: str, payload: dict[str, Any], priority: str) -> None:
        if payload['number'] == 1:
            raise RuntimeError('no')
        sent.append((event, payload, priority))

    notifier = QueueNotifier(lambda: send, frozenset())
    for number in range(3):
        notifier.emit('task.run', {'number': number})
    notifier.close(30)
    assert [payload['number'] for _, payload, _ in sent] == [0, 2]


def test_imports_tell_their_story_once(
    conf: cfg.ConfigOpts, notifier: QueueNotifier, sent: Sent
) -> None:
    engine = Engine(conf)
    engine.services = dataclasses.replace(engine.services, notifier=notifier)
    good = engine.stage(1000)
    task_id = engine.post(good)
    engine.conductor().run_pending()
    assert engine.task(task_id).status == task_domain.SUCCESS
    notifier.close(30)
    assert [event for event, _, _ in sent] == [
        'task.run',
        'task.processing',
        'image.prepare',
        'image.upload',
        'image.activate',
        'task.success',
    ]
    by_event = {event: payload for event, payload, _ in sent}
    assert by_event['image.prepare']['status'] == 'importing'
    assert by_event['image.activate']['status'] == 'active'
    assert by_event['image.activate']['backend'] == 'fast'
    assert by_event['task.success']['result'] == {'image_id': good}
    assert 'input' not in by_event['task.success']
    sent.clear()
    engine.post(engine.stage(1000), stores=['nowhere'])
    engine.conductor().run_pending()
    notifier.close(30)
    assert [event for event, _, _ in sent][-1] == 'task.failure'
    assert sent[-1][1]['error_code'] == 'store_failed'
    engine.db.dispose()
