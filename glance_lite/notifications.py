# SPDX-License-Identifier: Apache-2.0
"""Tell others what happened, through oslo.messaging: after the commit, from a thread of its own.

Whoever emits an event never waits: it goes into a bounded queue. While the broker is away the
thread waits for it; what does not fit into the queue is lost, which the log says once. Payloads
have neither locations nor what the import was asked for, where secrets may be.
"""

from __future__ import annotations

import collections
import datetime
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from oslo_log import log
from stevedore import extension

from glance_lite import exceptions
from glance_lite.domain.image import Image
from glance_lite.domain.member import Member
from glance_lite.domain.task import Task

LOG = log.getLogger(__name__)

GROUP = 'oslo_messaging_notifications'
DRIVERS = 'oslo.messaging.notify.drivers'
#: The exchange that consumers of image notifications know.
EXCHANGE = 'glance'
#: Every event that this service sends.
EVENTS = (
    'image.create',
    'image.update',
    'image.prepare',
    'image.upload',
    'image.activate',
    'image.send',
    'image.delete',
    'image.member.create',
    'image.member.update',
    'image.member.delete',
    'task.create',
    'task.run',
    'task.processing',
    'task.success',
    'task.failure',
)
INFO, ERROR = 'INFO', 'ERROR'

#: Events that wait at most for a broker that is away or slow.
MOST_WAITING = 1000

#: Seconds that a process that ends has for what waits.
NOTIFYING_SECONDS = 3.0

Send = Callable[[str, dict[str, Any], str], object]

#: Seconds between two attempts to reach a broker; they double up to the most.
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 30.0


class BrokerAway(Exception):
    """The broker cannot be reached, or refuses; the same event may be taken later."""


class Notifier:
    """Sends nothing: what a service has unless ``[oslo_messaging_notifications] driver`` is set."""

    def wants(self, event: str) -> bool:
        """Tell whether anybody is told of such an event, so that it is worth being described."""
        return False

    def image(self, action: str, image: Image, *, deleted: bool = False) -> None:
        """Tell that something was done with an image."""
        if self.wants(f'image.{action}'):
            self.emit(f'image.{action}', image_payload(image, deleted))

    def member(self, action: str, member: Member) -> None:
        """Tell that a member of an image came, answered or went."""
        if self.wants(f'image.member.{action}'):
            self.emit(f'image.member.{action}', _member_payload(member, action == 'delete'))

    def task(self, action: str, task: Task) -> None:
        """Tell how far a task is."""
        if self.wants(f'task.{action}'):
            self.emit(f'task.{action}', _task_payload(task))

    def emit(self, event: str, payload: dict[str, Any], priority: str = INFO) -> None:
        """Send an event some time soon, and return at once."""

    def close(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""


class QueueNotifier(Notifier):
    """Sends in a thread that begins with the first event. May be used by many threads at once."""

    def __init__(self, make_send: Callable[[], Send], disabled: frozenset[str]) -> None:
        """Send by what ``make_send`` returns; it is called in the thread, and may take its time.

        :param disabled: events, and groups of them, that are not sent.
        """
        self._make_send = make_send
        self._wanted = frozenset(event for event in EVENTS if not _is_disabled(event, disabled))
        self._waiting: collections.deque[tuple[str, dict[str, Any], str]] = collections.deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._lost = 0

    def wants(self, event: str) -> bool:
        """Tell whether such events are sent."""
        return event in self._wanted

    def emit(self, event: str, payload: dict[str, Any], priority: str = INFO) -> None:
        """Put an event into the queue, or drop it if that is full."""
        if event not in self._wanted:
            return
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                if not self._lost:
                    LOG.error('Notifications are lost from now on: %d wait already', MOST_WAITING)
                self._lost += 1
                return
            self._waiting.append((event, payload, priority))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='notifier', daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Wait until all is sent, for so many seconds at most."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._waiting or self._busy:
                if not self._changed.wait(until - time.monotonic()) and (time.monotonic() >= until):
                    count = len(self._waiting) + self._busy
                    LOG.warning('%d notifications were not sent before the end', count)
                    return

    def _run(self) -> None:
        try:
            send = self._make_send()
        except Exception:  # what can be known beforehand has stopped the start
            LOG.exception('Notifications cannot be sent')
            return
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                event, payload, priority = self._waiting.popleft()
                self._busy = True
            try:
                self._send(send, event, payload, priority)
            except Exception as error:
                LOG.error('The notification %s was not sent: %s', event, error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _send(self, send: Send, event: str, payload: dict[str, Any], priority: str) -> None:
        """Send an event, however long the broker is away."""
        for attempt in itertools.count():
            try:
                send(event, payload, priority)
            except BrokerAway as error:
                if attempt == 0:
                    LOG.error('The broker takes no notifications, so they wait: %s', error)
                time.sleep(min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempt, 10), MOST_PAUSE_SECONDS))
                continue
            with self._changed:
                lost, self._lost = self._lost, 0
            if attempt or lost:
                LOG.warning('The broker takes notifications again; %d were lost', lost)
            return


def notifier_for(conf: cfg.ConfigOpts) -> Notifier:
    """Return what sends the notifications of this process.

    :raises ConfigError: there is no such driver or event.
    """
    disabled = frozenset(conf.disabled_notifications)
    known = {*EVENTS, *(event.rpartition('.')[0] for event in EVENTS)}
    for name in sorted(disabled):
        if name not in known and name.partition('.')[0].partition('_')[0] != 'metadef':
            raise exceptions.ConfigError(
                f"disabled_notifications: there is no event or group '{name}'; there are: "
                f'{", ".join(sorted(known))}.'
            )
    drivers = [driver for driver in _drivers(conf) if driver not in ('', 'noop')]
    if not drivers:
        return Notifier()
    installed = extension.ExtensionManager(DRIVERS).names()
    for driver in drivers:
        if driver not in installed:
            raise exceptions.ConfigError(
                f"[{GROUP}] driver: there is no driver '{driver}'; there are: "
                f'{", ".join(sorted(installed))}.'
            )
    return QueueNotifier(_prepare_sender(conf), disabled)


def image_payload(image: Image, deleted: bool = False) -> dict[str, Any]:
    """Return what is told of an image: its record, and the ids of its stores."""
    return {
        'id': image.image_id,
        'name': image.name,
        'status': image.status,
        'created_at': _time(image.created_at),
        'updated_at': _time(image.updated_at),
        'deleted': deleted,
        'deleted_at': _time(datetime.datetime.now(datetime.UTC)) if deleted else None,
        'min_disk': image.min_disk,
        'min_ram': image.min_ram,
        'protected': image.protected,
        'os_hidden': image.os_hidden,
        'checksum': image.checksum,
        'os_hash_algo': image.os_hash_algo,
        'os_hash_value': image.os_hash_value,
        'owner': image.owner,
        'disk_format': image.disk_format,
        'container_format': image.container_format,
        'size': image.size,
        'virtual_size': image.virtual_size,
        'is_public': image.visibility == 'public',
        'visibility': image.visibility,
        'properties': dict(image.properties),
        'tags': list(image.tags),
        'backend': ','.join(dict.fromkeys(place.store for place in image.locations)) or None,
        'os_glance_importing_to_stores': image.properties.get('os_glance_importing_to_stores'),
        'os_glance_failed_import': image.properties.get('os_glance_failed_import'),
    }


def _member_payload(member: Member, deleted: bool) -> dict[str, Any]:
    return {
        'image_id': member.image_id,
        'member_id': member.member_id,
        'status': member.status,
        'created_at': _time(member.created_at),
        'updated_at': _time(member.updated_at),
        'deleted': deleted,
        'deleted_at': _time(datetime.datetime.now(datetime.UTC)) if deleted else None,
    }


def _task_payload(task: Task) -> dict[str, Any]:
    return {
        'id': task.task_id,
        'type': task.type,
        'status': task.status,
        'owner': task.owner,
        'image_id': task.image_id,
        'request_id': task.request_id,
        'message': task.message,
        'result': task.result,
        'error_code': (task.error or {}).get('code'),
        'created_at': _time(task.created_at),
        'updated_at': _time(task.updated_at),
        'expires_at': _time(task.expires_at),
        'deleted': False,
        'deleted_at': None,
    }


def _time(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.strftime('%Y-%m-%dT%H:%M:%SZ')


def _is_disabled(event: str, disabled: frozenset[str]) -> bool:
    parts = event.split('.')
    return any('.'.join(parts[:count]) in disabled for count in range(1, len(parts) + 1))


def _drivers(conf: cfg.ConfigOpts) -> list[str]:
    """Return the drivers that the files name, without oslo.messaging: few services need that."""
    probe = cfg.ConfigOpts()
    probe.register_opt(cfg.MultiStrOpt('driver', default=[]), group=GROUP)
    probe(
        [],
        project='glance-lite',
        default_config_files=conf.config_file or [],
        default_config_dirs=[path for path in conf.config_dir or [] if path],
    )
    found: list[str] = probe[GROUP].driver
    return found


def _prepare_sender(conf: cfg.ConfigOpts) -> Callable[[], Send]:
    """Load the library at the start, for its options; connect when there is something to send.

    :raises ConfigError: the URL of the broker cannot be used.
    """
    import oslo_messaging

    oslo_messaging.set_transport_defaults(EXCHANGE)
    try:
        transport = oslo_messaging.get_notification_transport(conf)
    except Exception as error:  # of many kinds; none may show the URL, which has a password
        raise exceptions.ConfigError(
            f'[{GROUP}] transport_url, or [DEFAULT] transport_url, cannot be used: '
            f'{type(error).__name__}.'
        ) from error

    def make() -> Send:
        found = oslo_messaging.Notifier(transport, conf.default_publisher_id)
        by_priority = {INFO: found.info, ERROR: found.error}
        failures = _Failures()
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(failures)

        def send(event: str, payload: dict[str, Any], priority: str) -> None:
            by_priority[priority]({}, event, payload)
            error = failures.take()
            if isinstance(error, TypeError | ValueError):
                raise error  # the event is at fault, and would be again
            if error is not None:
                raise BrokerAway(str(error) or type(error).__name__)

        return send

    return make


#: Where oslo.messaging logs, with the whole payload, what it does not raise.
_LOGGERS = ('oslo_messaging.notify.messaging', 'oslo_messaging.notify.notifier')


class _Failures(logging.Filter):
    """Learns of failures that the library only logs, and keeps them from the log.

    The thread that sends is the one that logs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep what went wrong; anything else goes into the log."""
        if not record.exc_info:
            return True
        self._last = record.exc_info[1]
        return False

    def take(self) -> BaseException | None:
        """Return what went wrong since the last time."""
        last, self._last = self._last, None
        return last
