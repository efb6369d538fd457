# SPDX-License-Identifier: Apache-2.0
"""The child process in which an isolated plugin runs: ``python -m glance_lite.plugin.isolated``.

It gives up what it does not need before it imports anything of the plugin, reads one request from
its standard input, and answers in lines of JSON. Who starts it is ``isolation.py``.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import operator
import os
import pickle
import resource
import signal
import sys
import types
from typing import Any

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.conf import opts
from glance_lite.plugin import base

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # sched.h
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38  # sys/prctl.h


def main() -> int:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8', buffering=1)
    os.dup2(2, 1)  # what the plugin prints is no answer

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + '\n')

    # the request comes from the service itself; nothing of the child is ever unpickled there
    request: dict[str, Any] = pickle.load(sys.stdin.buffer)
    try:
        _limit(request)
    except OSError as error:
        answer(kind='unable', text=error.strerror or str(error))
        return 1
    if request['action'] == 'probe':
        answer(kind='done', changes=None)
        return 0
    try:
        answer(kind='done', changes=_run(request, answer))
    except exceptions.ImageRejected as error:
        answer(kind='rejected', text=error.message)
    except OSError as error:
        answer(kind='failed', text=str(error), errno=error.errno)
    except Exception as error:
        import traceback

        traceback.print_exc()
        answer(kind='failed', text=str(error) or type(error).__name__)
    return 0


def _limit(request: dict[str, Any]) -> None:
    """Bound memory, CPU time, files and the core dump; leave the network.

    :raises OSError: the host does not permit to leave the network.
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != request['parent']:
        os._exit(1)
    if not request['network']:
        _leave_network(library)
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    limits = {
        resource.RLIMIT_AS: request['memory_bytes'],
        resource.RLIMIT_FSIZE: request['file_bytes'],
        resource.RLIMIT_CPU: request['cpu_seconds'],
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        if limit is not None:
            most = resource.getrlimit(kind)[1]
            # at the first limit of CPU time a signal says so, at the second it is over
            hard = limit + 2 if kind == resource.RLIMIT_CPU else limit
            hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
            resource.setrlimit(kind, (min(limit, hard), hard))


def _leave_network(library: Any) -> None:
    user, group = os.getuid(), os.getgid()
    if library.unshare(_NEW_NETWORK) == 0:
        return
    if library.unshare(_NEW_USER | _NEW_NETWORK) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    for name, text in (
        ('setgroups', 'deny'),
        ('uid_map', f'{user} {user} 1'),
        ('gid_map', f'{group} {group} 1'),
    ):
        with open(f'/proc/self/{name}', 'w', encoding='ascii') as file:
            file.write(text)


def _run(request: dict[str, Any], answer: Any) -> dict[str, Any] | None:
    found: Any = importlib.import_module(request['module'])
    plugin_class: type[base.ImportPlugin] = operator.attrgetter(request['class'])(found)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    opts.register_all(conf)
    for group, own in plugin_class.list_opts():
        conf.register_opts(own, group=group)
    for group, name, value in request['options']:
        conf.set_override(name, value, group=None if group == 'DEFAULT' else group)
    staged = base.StagedData(
        request['path'],
        request['new_path'],
        lambda count: answer(kind='progress', count=count) if count else None,
    )
    image = dataclasses.replace(
        request['image'], properties=types.MappingProxyType(request['image'].properties)
    )
    plugin = plugin_class(conf)
    if request['action'] == 'revert':
        plugin.revert(image, staged)
        return None
    changes = plugin.execute(image, staged)
    if changes is None:
        return None
    if not isinstance(changes, base.ImageChanges):
        raise TypeError(f'execute returned {type(changes).__name__}, not ImageChanges or None')
    return {
        'properties': dict(changes.properties),
        'disk_format': changes.disk_format,
        'container_format': changes.container_format,
        'virtual_size': changes.virtual_size,
        'file_path': changes.file_path,
        'note': changes.note,
    }


if __name__ == '__main__':
    sys.exit(main())
