# SPDX-License-Identifier: Apache-2.0
"""Run a plugin in a child process with limits and without a network.

The child can read what the user of the service can read; it cannot ask for more memory, time or
disk than it may, cannot speak to anybody, and cannot take the conductor down. Its answers are read
as those of a stranger. What the child does is ``isolated.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions
from glance_lite.conf import opts
from glance_lite.plugin import base
from glance_lite.plugin.settings import PREFIX, Settings

LOG = log.getLogger(__name__)

#: Seconds between two looks whether the import may go on.
TICK_SECONDS = 0.2
#: Seconds for a child to undo what an earlier one did.
UNDO_SECONDS = 50.0
#: Seconds for a child to tell whether it can be isolated.
PROBE_SECONDS = 60.0
#: Bytes of all answers of a child, and of what it prints, at most.
_ANSWER_BYTES = 8 * 1024 * 1024
_PRINTED_BYTES = 64 * 1024
_VARIABLES = ('PATH', 'PYTHONPATH', 'VIRTUAL_ENV', 'LANG', 'LC_ALL', 'TMPDIR', 'HOME')


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a child may use: bytes of memory and of a file, seconds of CPU; None for no limit."""

    memory_bytes: int
    network: bool
    file_bytes: int | None = None
    cpu_seconds: int | None = None


class IsolatedPlugin:
    """Stands for a plugin in the conductor; each call runs it in a child of its own."""

    def __init__(
        self, plugin_class: type[base.ImportPlugin], conf: cfg.ConfigOpts, chosen: Settings
    ) -> None:
        """Take what the child gets out of ``conf``: the plugin's options, and the service's but
        those that are secret.
        """
        self.name, self.transforms = plugin_class.name, plugin_class.transforms
        self._class = plugin_class
        shared = [
            (group, [opt for opt in listed if not opt.secret])
            for group, listed in (*opts.list_api_opts(), *opts.list_import_opts())
        ]
        self._options = [
            (group, opt.dest, opts.literal(_value(conf, group, opt.dest)))
            for group, listed in (*shared, *plugin_class.list_opts())
            for opt in listed
        ]
        self._limits = Limits(
            chosen.isolated_memory * 1024 * 1024,
            chosen.isolated_network,
            conf.image_size_cap,
            chosen.timeout,
        )

    def execute(
        self, image: base.ImageSnapshot, staged: base.StagedData
    ) -> base.ImageChanges | None:
        """Run the plugin's ``execute`` in a child.

        :raises ImageRejected: the plugin refused the image.
        """
        changes = self._call('execute', image, staged)
        if changes is None:
            return None
        if changes.get('file_path') not in (None, staged.new_path()):
            raise ValueError('file_path must be the path that staged.new_path() gives')
        return _read_changes(changes)

    def revert(self, image: base.ImageSnapshot, staged: base.StagedData) -> None:
        """Run the plugin's ``revert`` in a child."""
        self._call('revert', image, staged)

    def _call(
        self, action: str, image: base.ImageSnapshot, staged: base.StagedData
    ) -> dict[str, Any] | None:
        request = {
            'action': action,
            'module': self._class.__module__,
            'class': self._class.__qualname__,
            'options': self._options,
            'image': dataclasses.replace(image, properties=dict(image.properties)),
            'path': staged.path,
            'new_path': staged.new_path(),
        }
        # an import that is undone may not go on, and is undone all the same
        advance = staged.progress if action == 'execute' else _patience(UNDO_SECONDS)
        return _ask(request, self._limits, advance, self.name)


def check(plugin_class: type[base.ImportPlugin] | None, name: str, chosen: Settings) -> None:
    """Raise unless a plugin can be isolated here as its section wants.

    :raises ConfigError: naming the section and the reason.
    """
    if not chosen.isolated:
        return
    if plugin_class is None:
        raise exceptions.ConfigError(
            f'[{PREFIX}{name}] isolated: only a plugin that subclasses ImportPlugin can be '
            'isolated; one written for Glance works on the objects of the conductor.'
        )
    limits = Limits(chosen.isolated_memory * 1024 * 1024, chosen.isolated_network)
    try:
        _ask({'action': 'probe'}, limits, _patience(PROBE_SECONDS), name)
    except _Unable as error:
        raise exceptions.ConfigError(
            f'[{PREFIX}{name}] isolated: this host does not let the service take the network from '
            f'a process ({error}). Permit user namespaces to the user of the service, or set '
            'isolated_network = true to isolate all but the network.'
        ) from error
    except Exception as error:
        raise exceptions.ConfigError(
            f'[{PREFIX}{name}] isolated: a process of its own cannot be started: {error}'
        ) from error


class _Unable(Exception):
    """The child could not be isolated."""


def _patience(seconds: float) -> Callable[[int], None]:
    ends_at = time.monotonic() + seconds

    def advance(count: int) -> None:
        if time.monotonic() > ends_at:
            raise TimeoutError('it does not answer')

    return advance


def _ask(
    request: dict[str, Any], limits: Limits, advance: Callable[[int], None], name: str
) -> dict[str, Any] | None:
    """Send a request to a new child and return its answer; end it, whatever happens.

    :param advance: told the bytes that are done, and 0 now and then; raises to stop.
    """
    with _child() as child:
        assert child.stdin is not None
        message = request | dataclasses.asdict(limits) | {'parent': os.getpid()}
        with contextlib.suppress(BrokenPipeError):  # it ended; its exit status tells why
            child.stdin.write(pickle.dumps(message))
            child.stdin.close()
        for answer in _answers(child, advance, name):
            kind = answer.get('kind')
            if kind == 'progress':
                advance(_count(answer.get('count')))
            elif kind == 'done':
                changes = answer.get('changes')
                return changes if isinstance(changes, dict) else None
            elif kind == 'rejected':
                raise exceptions.ImageRejected(str(answer.get('text')))
            elif kind == 'unable':
                raise _Unable(str(answer.get('text')))
            else:
                number = answer.get('errno')
                if isinstance(number, int):
                    raise OSError(number, os.strerror(number))
                raise RuntimeError(str(answer.get('text')))
        raise RuntimeError(_ending(child.wait()))


@contextlib.contextmanager
def _child() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [_python(), '-m', 'glance_lite.plugin.isolated'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _answers(
    child: subprocess.Popen[bytes], advance: Callable[[int], None], name: str
) -> Iterator[dict[str, Any]]:
    """Give the answers of a child until it ends; log what it prints."""
    assert child.stdout is not None and child.stderr is not None
    answers, printed = child.stdout.fileno(), child.stderr.fileno()
    left = {answers: _ANSWER_BYTES, printed: _PRINTED_BYTES}
    open_pipes, pending, text = {answers, printed}, b'', b''
    while answers in open_pipes:
        ready = select.select(list(open_pipes), [], [], TICK_SECONDS)[0]
        if not ready:
            advance(0)
        for pipe in ready:
            data = os.read(pipe, 65536)
            if not data:
                open_pipes.discard(pipe)
            elif pipe == printed:
                text += data[: max(0, left[pipe])]
            else:
                pending += data
            left[pipe] -= len(data)
        if left[answers] < 0:
            raise RuntimeError('it answers too much')
        *lines, pending = pending.split(b'\n')
        for line in lines:
            if text:
                LOG.info('Import plugin %s printed: %s', name, text.decode(errors='replace'))
                text = b''
            yield _parse(line)
    if text:
        LOG.info('Import plugin %s printed: %s', name, text.decode(errors='replace'))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RuntimeError('it gave an answer that cannot be understood')
    return answer


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _ending(status: int) -> str:
    if status == -signal.SIGXCPU:
        return 'it used more CPU time than its timeout permits'
    if status == -signal.SIGXFSZ:
        return 'it wrote more than the service permits'
    if status < 0:
        return f'its process was ended by signal {-status}'
    return f'its process ended with exit status {status} and no answer'


def _read_changes(found: dict[str, Any]) -> base.ImageChanges:
    """Return what the child wants changed.

    :raises TypeError: a value is of another type than it may be.
    """
    properties = found.get('properties') or {}
    words = ('disk_format', 'container_format', 'file_path', 'note')
    size = found.get('virtual_size')
    if (
        not isinstance(properties, dict)
        or not all(found.get(word) is None or isinstance(found[word], str) for word in words)
        or not (size is None or isinstance(size, int))
    ):
        raise TypeError('the changes that it wants are of wrong types')
    return base.ImageChanges(
        properties=types.MappingProxyType(
            {name: None if value is None else str(value) for name, value in properties.items()}
        ),
        virtual_size=size,
        **{word: found.get(word) for word in words},
    )


def _value(conf: cfg.ConfigOpts, group: str, name: str) -> Any:
    return conf[name] if group == 'DEFAULT' else conf[group][name]


def _python() -> str:
    """Return the interpreter; under some WSGI servers ``sys.executable`` is the server."""
    found = os.path.join(sys.prefix, 'bin', 'python3')
    return found if os.path.exists(found) else sys.executable
