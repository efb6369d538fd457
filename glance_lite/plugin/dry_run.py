# SPDX-License-Identifier: Apache-2.0
"""Build every enabled plugin once at start, with no image: what cannot be built stops the start.

A ``get_flow`` that wants to look at the image, a store or a task cannot be tried without one; it is
then left for its first import, which it fails if it is broken.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from oslo_log import log

from glance_lite import context, exceptions
from glance_lite.domain import task
from glance_lite.plugin import build

LOG = log.getLogger(__name__)

#: What the steps before the plugins provide.
PROVIDED = frozenset({'file_path'})


def check(plugins: Mapping[str, Callable[..., Any]]) -> dict[str, build.BuiltPlugin]:
    """Build the plugins in their order and see that each finds the values that it requires.

    Returns those that could be built so, by name.

    :raises ConfigError: ``get_flow`` fails, returns no flow, or a step requires what nothing gives.
    """
    provided = set(PROVIDED)
    found: dict[str, build.BuiltPlugin] = {}
    for name, get_flow in plugins.items():
        arguments, touched = _arguments()
        try:
            built = build.build_plugin(name, _Quietly(get_flow, touched), arguments)
        except _CannotTell:
            LOG.debug('Import plugin %s looks at the image when built; not tried at start', name)
            provided = set()
            continue
        except exceptions.GlanceLiteError as error:
            raise exceptions.ConfigError(str(error)) from error
        found[name] = built
        unmet = sorted(built.flow.requires - provided)
        if unmet and provided:
            raise exceptions.ConfigError(
                f"Import plugin '{name}' requires '{unmet[0]}', which neither the import nor a "
                'plugin before it provides.'
            )
        if provided:
            provided |= built.flow.provides
    return found


class _CannotTell(BaseException):
    """A plugin wanted something that only an import has. Passes a plugin's ``except Exception``."""


class _Quietly:
    """Calls ``get_flow``; an error after a look at the image tells nothing."""

    def __init__(self, get_flow: Callable[..., Any], touched: list[str]) -> None:
        self._get_flow = get_flow
        self._touched = touched

    def __call__(self, **arguments: Any) -> Any:
        try:
            return self._get_flow(**arguments)
        except Exception as error:
            if self._touched:
                raise _CannotTell from error
            raise


class _Absent:
    """Stands for an object that only an import has; remembers that it was used."""

    def __init__(self, touched: list[str], **known: Any) -> None:
        self.__dict__.update(known)
        self.__dict__['_touched'] = touched

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        self._touched.append(name)
        raise _CannotTell

    def __enter__(self) -> Any:
        self._touched.append('__enter__')
        raise _CannotTell

    def __exit__(self, *exc_info: object) -> None:
        return None


def _arguments() -> tuple[dict[str, Any], list[str]]:
    touched: list[str] = []
    image_id = str(uuid.UUID(int=0))
    names = ('image_repo', 'admin_repo', 'task_repo', 'image_factory')
    return {
        **{name: _Absent(touched) for name in names},
        'action_wrapper': _Absent(touched, image_id=image_id),
        'task_id': str(uuid.UUID(int=1)),
        'task_type': task.IMAGE_IMPORT,
        'context': context.RequestContext(overwrite=False),
        'image_id': image_id,
        'import_req': {'method': {'name': 'glance-direct'}},
        'backend': ['default'],
        'uri': None,
    }, touched
