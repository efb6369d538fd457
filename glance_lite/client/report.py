# SPDX-License-Identifier: Apache-2.0
"""The end of an import in words for a person, and as a JSON document for a script."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from glance_lite.client import text
from glance_lite.client.errors import ClientError, ServiceRefused
from glance_lite.client.watch import Outcome

_FIELDS = (
    'id',
    'name',
    'status',
    'disk_format',
    'container_format',
    'size',
    'virtual_size',
    'os_hash_algo',
    'os_hash_value',
    'visibility',
    'stores',
    'tags',
)
_HIDDEN = frozenset(
    {
        'self',
        'file',
        'schema',
        'checksum',
        'created_at',
        'updated_at',
        'owner',
        'protected',
        'os_hidden',
        'min_disk',
        'min_ram',
        'direct_url',
        'locations',
    }
)


class Commands:
    """Write commands that the user may give next, with the options that this run was given."""

    def __init__(
        self, endpoint: str | None = None, cloud: str | None = None, program: str = 'glance-lite'
    ) -> None:
        self._program = program
        chosen = ['--os-cloud', cloud] if cloud else []
        self._options = ['--endpoint', endpoint] if endpoint else chosen

    def line(self, verb: str, *words: str) -> str:
        """Return ``PROGRAM VERB OPTIONS WORDS``, fit for a shell."""
        return shlex.join([self._program, verb, *self._options, *words])


def image_table(image: Mapping[str, Any]) -> str:
    """Return the fields of an image that its owner looks at, one on a line."""
    names = [name for name in _FIELDS if image.get(name) not in (None, [], '')]
    names += sorted(
        name
        for name in image
        if name not in _FIELDS and name not in _HIDDEN and image[name] not in (None, [], '')
    )
    width = max(map(len, names), default=0)
    return '\n'.join(f'{name:<{width}}  {_value(name, image[name])}' for name in names)


def failure(outcome: Outcome, image_id: str, commands: Commands) -> str:
    """Return what went wrong, whether trying again makes sense, and how."""
    if outcome.image is None:
        return f'Image {image_id} was deleted.'
    status = outcome.image.get('status')
    if outcome.task is None:
        return f'Image {image_id} is {status}; no import of it is running or known.'
    error = outcome.error
    phase = text.clean(error.get('phase') or '')
    sentence = text.clean(outcome.message) or 'The service gave no reason.'
    if sentence[-1] not in '.!?':
        sentence += '.'
    details = [text.clean(error['code'])] if error.get('code') else []
    if error.get('request_id'):
        details.append(f'request {text.clean(error["request_id"])}')
    lines = [f'The import failed{f" in {phase}" if phase else ""}: {sentence}']
    if details:
        lines.append(f'({", ".join(details)})')
    return '\n'.join(lines + _advice(outcome, image_id, commands))


def _advice(outcome: Outcome, image_id: str, commands: Commands) -> list[str]:
    """Return lines on what to do next."""
    status = (outcome.image or {}).get('status')
    retryable = outcome.error.get('retryable')
    if status == 'uploading':
        again = commands.line('retry', image_id)
        kept = 'The data is still staged.'
        if retryable is False:
            return [
                f'{kept} Trying again will fail in the same way unless the cause is removed:',
                f'    {again}',
            ]
        return [f'{kept} Try again with', f'    {again}']
    if status != 'queued':
        return []
    downloaded = _method_of(outcome.task) == 'web-download'
    if retryable and downloaded:
        return ['Try again with', f'    {commands.line("retry", image_id)}']
    if retryable:
        return ['Try again with', f'    {commands.line("retry", image_id)} FILE']
    if retryable is False:
        return [
            'The same data would fail again. Give this image other data with',
            f'    {commands.line("retry", image_id)} FILE_OR_URL',
        ]
    return [
        'Give this image its data again with',
        f'    {commands.line("retry", image_id)} FILE_OR_URL',
    ]


def _method_of(task: Mapping[str, Any] | None) -> str | None:
    given = (task or {}).get('input')
    if isinstance(given, Mapping):
        request = given.get('import_req', given)
        method = request.get('method') if isinstance(request, Mapping) else None
        return method.get('name') if isinstance(method, Mapping) else None
    return None


def document(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON document of an import that was watched to its end.

    ``outcome`` is ``active`` or ``failed``; ``error`` is None or has at least ``message``.
    """
    error = None
    if not outcome.is_active:
        error = {**outcome.error, 'message': outcome.message or 'The image is not active.'}
    return {
        'outcome': 'active' if outcome.is_active else 'failed',
        'image': outcome.image,
        'task': outcome.task,
        'error': error,
    }


def accepted_document(image: Mapping[str, Any], task_id: str | None) -> dict[str, Any]:
    """Return the JSON document of an import that was accepted and is not watched."""
    return {
        'outcome': 'accepted',
        'image': dict(image),
        'task': {'id': task_id} if task_id else None,
        'error': None,
    }


def problem_document(problem: ClientError, image_id: str | None) -> dict[str, Any]:
    """Return the JSON document of a run that ended before any import did."""
    error: dict[str, Any] = {'message': problem.message}
    if isinstance(problem, ServiceRefused):
        error |= {
            'http_status': problem.status,
            'code': problem.code,
            'request_id': problem.request_id,
        }
    return {
        'outcome': 'failed',
        'image': {'id': image_id} if image_id else None,
        'task': None,
        'error': error,
    }


def _value(name: str, value: object) -> str:
    if name in ('size', 'virtual_size') and isinstance(value, int):
        return f'{value} ({text.size(value)})'
    if isinstance(value, list):
        return text.clean(', '.join(map(str, value)))
    return text.clean(value)
