# SPDX-License-Identifier: Apache-2.0
"""How a task can fail, one way after another, and what its user then reads.

``python -m tests.task_failures`` tries every way and writes the page of the documentation;
``tests/unit/conductor/test_task_failures.py`` tries them too, and compares.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import os
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from oslo_config import cfg
from taskflow import task

from glance_lite import configuration, exceptions
from glance_lite.db import image_list, images, tasks
from glance_lite.domain import image as domain
from glance_lite.domain import image_query
from glance_lite.domain.task import FINAL, Task
from glance_lite.plugin.loader import PluginSet
from glance_lite.policy import Policy
from glance_lite.property_protection import PropertyProtection
from glance_lite.remote import resolver
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.testing import images as samples
from tests.engine import Engine

PAGE = Path(__file__).resolve().parents[1] / 'doc/source/reference/task-failures.rst'
PATIENCE_SECONDS = 30
#: What the page calls the source, whose port is another in each run.
SHOWN = 'images.example.org'
#: Of the source: more than what the service reads before it looks.
DATA = bytes(range(256)) * 2000


class Source(ThreadingHTTPServer):
    """Answers each path in a manner of its own; ``gate`` ends what is kept waiting."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.gate = threading.Event()
        self.asked = threading.Event()
        self.bodies = {
            '/disk.raw': DATA,
            '/photo.jpg': b'\xff\xd8\xff\xe0\x00\x10JFIF\x00' + DATA,
            '/disk.qcow2': samples.write_qcow2(directory / 'sample.qcow2').read_bytes(),
            '/backed.qcow2': samples.write_qcow2(
                directory / 'sample.qcow2', backing_file='/etc/shadow'
            ).read_bytes(),
        }

    @property
    def host(self) -> str:
        return f'127.0.0.1:{self.server_port}'


class _Handler(BaseHTTPRequestHandler):
    server: Source
    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:
        self.server.asked.set()
        self.close_connection = True
        path = self.path
        with contextlib.suppress(OSError):
            if path in self.server.bodies:
                body = self.server.bodies[path]
                self._head(200, ('Content-Length', len(body)))
                self.wfile.write(body)
            elif path == '/silent':
                self.server.gate.wait(PATIENCE_SECONDS)
            elif path in ('/stops', '/short'):
                self._head(200, ('Content-Length', len(DATA)))
                self.wfile.write(DATA[:100_000])
                if path == '/stops':
                    self.server.gate.wait(PATIENCE_SECONDS)
            elif path == '/changes':
                again = self.headers.get('Range') is not None
                self._head(200, ('Content-Length', len(DATA)), ('ETag', f'"{again}"'))
                self.wfile.write(DATA if again else DATA[:100_000])
            elif path == '/chunks':
                self._head(200, ('Transfer-Encoding', 'chunked'))
                self.wfile.write(b'%x\r\n%b\r\n0\r\n\r\n' % (len(DATA), DATA))
            elif path == '/endless':
                self._head(200)
                self.wfile.write(DATA)
            elif path == '/gzip':
                self._head(200, ('Content-Encoding', 'gzip'), ('Content-Length', 0))
            elif path in ('/inside', '/circle'):
                to = 'http://169.254.169.254/latest' if path == '/inside' else path
                self._head(302, ('Location', to), ('Content-Length', 0))
            else:
                found = re.fullmatch(r'/(\d{3})', path)
                self._head(int(found[1]) if found else 404, ('Content-Length', 0))

    def _head(self, status: int, *headers: tuple[str, Any]) -> None:
        self.send_response(status)
        for name, value in (*headers, ('Connection', 'close')):
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class World(Engine):
    """An engine on SQLite with a source beside it."""

    def __init__(self, directory: Path, source: Source, way: Way) -> None:
        self.directory, self.source = directory, source
        super().__init__(self.load(way.options), PluginSet({'scan': way.plugin}))

    def load(self, extra: str, stores: str = 'fast:file, cold:file') -> cfg.ConfigOpts:
        """Load a configuration."""
        folder, path = self.directory, self.directory / 'glance-api.conf'
        path.write_text(
            f'[DEFAULT]\nenabled_backends = {stores}\n'
            f'node_staging_uri = file://{folder}/staging\n'
            '[glance_store]\ndefault_backend = cold\n'
            f'[fast]\nfilesystem_store_datadir = {folder}/fast\n'
            f'[cold]\nfilesystem_store_datadir = {folder}/cold\n'
            f'[database]\nconnection = sqlite:///{folder}/db.sqlite\n'
            '[conductor]\npoll_interval = 0.02\n'
            '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
            '[web_download]\nretries = 0\nretry_backoff = 0\nread_timeout = 0.5\n'
            'idle_timeout = 0.5\n[task]\nswift_scheme = http\n' + extra
        )
        conf = cfg.ConfigOpts()
        configuration.load(conf, files=[str(path)])
        return conf

    def ask(self, path: str = '/disk.raw', disk_format: str = 'raw', **properties: Any) -> str:
        """Ask for an image of what the source has at ``path``, or of a whole URL."""
        uri = path if '://' in path else f'http://{self.source.host}{path}'
        return self.post_task(uri, disk_format, **properties)

    def change_rules(self, **parts: Any) -> None:
        """Replace what was built from the configuration."""
        self.services.rules = dataclasses.replace(self.services.rules, **parts)

    def resolve(self, address: str) -> None:
        """Let every name lead there from now on; nowhere if it is empty."""

        def resolve(host: str, timeout: float, should_stop: Any) -> list[Any]:
            if not address:
                raise resolver.NameNotResolved(host, temporary=False)
            return [ipaddress.ip_address(address)]

        self.change_rules(url_filter=UrlFilter.from_conf(self.services.conf, resolve))

    def run_until_it_ends(self, task_id: str, then: Callable[[], None] = lambda: None) -> None:
        """Run a conductor in a thread, do something when the source was asked, and wait."""
        conductor = self.conductor()
        thread = threading.Thread(target=conductor.run, daemon=True)
        thread.start()
        try:
            if then is not _nothing:
                assert self.source.asked.wait(PATIENCE_SECONDS)
                then()
            until = time.monotonic() + PATIENCE_SECONDS
            while self.task(task_id).status not in FINAL:
                assert time.monotonic() < until, 'the task does not end'
                time.sleep(0.02)
        finally:
            self.source.gate.set()
            _GATE.set()
            conductor.stop()
            thread.join(PATIENCE_SECONDS)

    def listed(self) -> list[domain.Image]:
        """Return what an administrator finds in the list of images."""
        query = image_query.parse([('visibility', 'all')], 100, 100)
        with self.db.reader() as session:
            return image_list.list_page(session, query, 'p1', True)[0]


def _nothing() -> None:
    pass


def _plugin(execute: Callable[..., Any]) -> Callable[..., Any]:
    def get_flow(**arguments: Any) -> task.Task:
        class Plugin(task.Task):
            def execute(self) -> None:
                execute(**arguments)

        return Plugin('scan')

    return get_flow


def _raise(error: Exception) -> Callable[..., Any]:
    def execute(**arguments: Any) -> None:
        raise error

    return _plugin(execute)


_NO_OP = _plugin(lambda **arguments: None)


@dataclasses.dataclass(frozen=True)
class Way:
    """One way: what happens, how to bring it about, and the code that it gets.

    ``act`` asks for the task, and returns its id; unless it does more, a conductor then runs.
    """

    what: str
    code: str
    act: Callable[[World], str]
    options: str = ''
    plugin: Callable[..., Any] = _NO_OP


def _of(path: str, disk_format: str = 'raw') -> Callable[[World], str]:
    return lambda world: world.ask(path, disk_format)


def _name_leads_to(address: str) -> Callable[[World], str]:
    def act(world: World) -> str:
        world.resolve('127.0.0.1')
        task_id = world.ask(f'http://images.example.org:{world.source.server_port}/disk.raw')
        world.resolve(address)
        return task_id

    return act


def _of_a_stranger(world: World) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert('127.0.0.1').configure_cert(context)
    world.source.socket = context.wrap_socket(world.source.socket, server_side=True)
    return world.ask(f'https://{world.source.host}/disk.raw')


def _cancelled_while_it_waits(world: World) -> str:
    task_id = world.ask()
    with world.db.writer() as session:
        tasks.request_cancel(session, task_id)
    return task_id


def _cancelled_while_it_downloads(world: World) -> str:
    task_id = world.ask('/stops')
    world.run_until_it_ends(task_id, lambda: _request_cancel(world, task_id))
    return task_id


def _request_cancel(world: World, task_id: str) -> None:
    with world.db.writer() as session:
        tasks.request_cancel(session, task_id)


def _late(world: World) -> str:
    task_id = world.ask()
    with world.db.writer() as session:
        tasks.update(session, task_id, deadline_ms=1)
    return task_id


def _stalled(world: World) -> str:
    task_id = world.ask()
    world.run_until_it_ends(task_id, _nothing)
    return task_id


def _lost(world: World) -> str:
    task_id = world.ask()
    with world.db.writer() as session:
        for _ in range(world.services.conf['import'].max_attempts):
            tasks.start_attempt(session, task_id)
    return task_id


def _without_its_plugin(world: World) -> str:
    task_id = world.ask()
    world.change_rules(plugins=PluginSet({}))
    return task_id


def _staging_is_full(world: World) -> str:
    def create(name: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/var/lib/staging')

    world.services.staging.create = create
    return world.ask()


def _store_is_full(world: World) -> str:
    def put_file(*arguments: Any) -> None:
        raise exceptions.StoreFull('There is no space left in the store.')

    world.services.stores.get('fast').put_file = put_file
    return world.ask()


def _store_is_away(world: World) -> str:
    task_id, directory = world.ask(), world.services.stores.get('fast').directory
    os.rmdir(directory)
    world.conductor().run_pending()
    os.mkdir(directory)
    return task_id


def _store_is_gone(world: World) -> str:
    task_id = world.ask()
    later = Engine(world.load('', stores='cold:file'), world.services.plugins)
    later.conductor().run_pending()
    later.db.dispose()
    return task_id


def _rights_are_taken(world: World) -> str:
    task_id = world.ask(visibility='community')
    (world.directory / 'policy.yaml').write_text('"communitize_image": "role:admin"')
    world.services.policy = Policy.from_conf(world.services.conf)
    return task_id


def _property_is_protected(world: World) -> str:
    task_id = world.ask(properties={'licence': 'mine'})
    path = world.directory / 'protections.conf'
    path.write_text(
        '[licence]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n'
        '[.*]\ncreate = member\nread = member\nupdate = member\ndelete = member\n'
    )
    world.services.conf.set_override('property_protection_file', str(path))
    world.change_rules(protection=PropertyProtection.from_conf(world.services.conf))
    return task_id


def _too_many_tags(world: World) -> str:
    task_id = world.ask(tags=['a', 'b'])
    world.services.conf.set_override('image_tag_quota', 1)
    return task_id


def _too_many_images(world: World) -> str:
    world.services.conf.set_override('project_image_quota', 1)
    task_id, other = world.ask(), world.create()
    world.conductor().run_pending()
    with world.db.writer() as session:
        images.delete(session, other, [domain.QUEUED])
    return task_id


def _bug(world: World) -> str:
    def path(name: str) -> str:
        raise ZeroDivisionError('a bug in /usr/lib/glance_lite/staging.py')

    world.services.staging.path = path
    return world.ask()


def _hang(**arguments: Any) -> None:
    _GATE.wait(PATIENCE_SECONDS)


_GATE = threading.Event()

WAYS = [
    Way('The source has nothing there', 'source_http_error', _of('/404')),
    Way('It wants to know who asks', 'source_http_error', _of('/401')),
    Way('It does not give it to everybody', 'source_http_error', _of('/403')),
    Way('It is broken', 'source_http_error', _of('/500')),
    Way('It compresses what it sends', 'source_http_error', _of('/gzip')),
    Way('It does not say how much it sends', 'source_http_error', _of('/endless')),
    Way(
        'An object of Swift is not there',
        'source_http_error',
        lambda world: world.ask(f'swift://{world.source.host}/account/container/object'),
    ),
    Way('Nobody answers', 'source_unreachable', _of('http://127.0.0.1:9/disk.raw')),
    Way('Its name is gone from the DNS', 'source_unreachable', _name_leads_to('')),
    Way('Its name leads into the cloud meanwhile', 'filtered_uri', _name_leads_to('10.0.0.1')),
    Way('It redirects into the cloud', 'filtered_uri', _of('/inside')),
    Way('It redirects in a circle', 'source_http_error', _of('/circle')),
    Way('Its certificate is nobody\'s', 'tls_error', _of_a_stranger),
    Way('It does not answer the request', 'source_timeout', _of('/silent')),
    Way('It stops in the middle', 'source_timeout', _of('/stops')),
    Way('It ends too early', 'source_truncated', _of('/short')),
    Way(
        'It changes while a download is resumed',
        'source_changed',
        _of('/changes'),
        '[web_download]\nretries = 2\n',
    ),
    Way(
        'It announces too much',
        'too_large',
        _of('/disk.raw'),
        '[DEFAULT]\nimage_size_cap = 300000\n',
    ),
    Way('It sends too much', 'too_large', _of('/chunks'), '[DEFAULT]\nimage_size_cap = 300000\n'),
    Way('It is a photo', 'format_mismatch', _of('/photo.jpg', 'qcow2')),
    Way('It is a qcow2, and called vmdk', 'format_mismatch', _of('/disk.qcow2', 'vmdk')),
    Way('It would read a file of the host', 'unsafe_image', _of('/backed.qcow2', 'qcow2')),
    Way(
        'A plugin refuses it',
        'plugin_rejected',
        _of('/disk.raw'),
        plugin=_raise(exceptions.ImageRejected('it has a virus')),
    ),
    Way(
        'A plugin fails',
        'plugin_failed',
        _of('/disk.raw'),
        plugin=_raise(RuntimeError('the scanner at /run/scanner/socket is away')),
    ),
    Way(
        'A plugin stands still',
        'stalled',
        _stalled,
        '[import]\nplugin_timeout = 1\n',
        plugin=_plugin(_hang),
    ),
    Way('A plugin was taken away', 'plugin_missing', _without_its_plugin),
    Way('The staging area is full', 'no_space', _staging_is_full),
    Way('The store is full', 'no_space', _store_is_full),
    Way('The store is away', 'store_failed', _store_is_away),
    Way('The store was taken away', 'store_failed', _store_is_gone),
    Way('The user lost the right to such an image', 'not_permitted', _rights_are_taken),
    Way('A property was protected meanwhile', 'not_permitted', _property_is_protected),
    Way('The quota of tags was lowered', 'quota_exceeded', _too_many_tags),
    Way('The project has all its images', 'quota_exceeded', _too_many_images),
    Way('It is cancelled while it waits', 'cancelled', _cancelled_while_it_waits),
    Way(
        'It is cancelled while it downloads',
        'cancelled',
        _cancelled_while_it_downloads,
        '[web_download]\nidle_timeout = 60\n',
    ),
    Way('Its time is over', 'deadline_exceeded', _late),
    Way('One conductor after another dies with it', 'lost_worker', _lost),
    Way('The service has a bug', 'internal_error', _bug),
]


@contextlib.contextmanager
def tried(way: Way, directory: Path) -> Iterator[tuple[World, Task]]:
    """Let a task fail in this way; give the world afterwards, and the task."""
    _GATE.clear()
    source = Source(directory)
    threading.Thread(target=source.serve_forever, args=(0.02,), daemon=True).start()
    world = World(directory, source, way)
    try:
        task_id = way.act(world)
        world.conductor().run_pending()
        yield world, world.task(task_id)
    finally:
        _GATE.set()
        source.gate.set()
        source.shutdown()
        source.server_close()
        world.db.dispose()


def shown(message: str) -> str:
    """Return a message as the page has it: the source has a name there."""
    return re.sub(r'127\.0\.0\.1(:\d+)?|images\.example\.org:\d+', SHOWN, message)


def row(way: Way, found: Task) -> str:
    """Return what the page has of one way."""
    cells = (way.what, f'``{way.code}``', shown(found.message))
    return '   * - ' + '\n     - '.join(cells) + '\n'


def render() -> str:
    """Try every way, and return the page."""
    rows = []
    for way in WAYS:
        with (
            tempfile.TemporaryDirectory() as directory,
            tried(way, Path(directory)) as (_, found),
        ):
            rows.append(row(way, found))
    return _INTRODUCTION + ''.join(rows)


_INTRODUCTION = f"""\
=====================
What failed tasks say
=====================

.. Written by python -m tests.task_failures; the tests bring each of these about.

A task that fails leaves no image and no data, and says why in ``message``; ``error.code`` has the
same for programs (:doc:`error-codes`). Here is what users read, whatever happens. ``{SHOWN}``
is the source. Only the last message does not say what to do: the request id in it, which is in
``error`` too, leads the operator to the cause in the log.

.. list-table::
   :header-rows: 1
   :widths: 25 20 55

   * - what happens
     - code
     - message
"""


if __name__ == '__main__':
    PAGE.write_text(render())
