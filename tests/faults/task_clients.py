# SPDX-License-Identifier: Apache-2.0
"""Clients that make images by tasks: some of them good, some of nothing, some ended half-way.

A task whose request had no answer may be there or not; what becomes of it is for the audit, which
knows by the image's name what it was to be.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from typing import Any

from glance_lite import exceptions
from tests.faults.clients import BOUND_SECONDS, Client, Image
from tests.faults.disks import Disk
from tests.faults.points import WEB

#: What a task is asked for, how often, and the codes that it then may fail with.
KINDS: dict[str, tuple[int, frozenset[str]]] = {
    'good': (6, frozenset()),
    'missing': (1, frozenset({'source_http_error'})),
    'format': (1, frozenset({'format_mismatch'})),
    'cancelled': (1, frozenset({'cancelled'})),
}
FINAL = ('success', 'failure')


@dataclasses.dataclass
class Wish:
    """What was asked for, known by the name of the image."""

    name: str
    kind: str
    disk: Disk
    deleted: bool = False

    def image(self, image_id: str) -> Image:
        """Return what the audit asks about an image that was wished for."""
        return Image(
            image_id, WEB, self.disk, intended=set(KINDS[self.kind][1]), deleted=self.deleted
        )


class TaskClient(threading.Thread):
    """Asks for one task after another until told to stop."""

    def __init__(self, client: Client, stop: threading.Event, keep: int) -> None:
        super().__init__(daemon=True)
        self.client, self._stop_it, self._keep = client, stop, keep
        self.wishes: dict[str, Wish] = {}
        #: How tasks ended that it knows of.
        self.ended: dict[str, int] = {}
        self._there: list[tuple[str, Wish]] = []

    def run(self) -> None:
        while not self._stop_it.is_set():
            try:
                self._wish()
            except Exception as error:
                self.client.problems.append(f'a task client failed: {error!r}')
                return
            if len(self._there) > self._keep:
                self._remove(*self._there.pop(0))

    def _wish(self) -> None:
        rng, kinds = self.client.rng, list(KINDS)
        kind = rng.choices(kinds, [KINDS[each][0] for each in kinds])[0]
        name = f'task-{uuid.UUID(int=rng.getrandbits(128))}'
        wish = Wish(name, kind, Disk(rng, rng.random() < 0.3))
        self.wishes[name] = wish
        if kind != 'missing':
            self.client.source.disks[name] = wish.disk
        answer = self.client.ask('POST', '/v2/tasks', json=self._body(wish))
        if answer is None or answer.status_code >= 500:
            time.sleep(0.2)
        elif answer.status_code != 201:
            self._complain(wish, f'was answered {answer.status_code} {answer.text}')
        else:
            self._follow(wish, answer.json()['id'])

    def _body(self, wish: Wish) -> dict[str, Any]:
        return {
            'type': 'import',
            'input': {
                'import_from': f'{self.client.source.url}/{wish.name}',
                'import_from_format': 'qcow2' if wish.kind == 'format' else 'raw',
                'image_properties': {'name': wish.name, 'tags': ['wished']},
            },
        }

    def _follow(self, wish: Wish, task_id: str) -> None:
        cancel_at = time.monotonic() + self.client.rng.uniform(0, 1.0)
        ends_at = time.monotonic() + BOUND_SECONDS
        is_cancelled = wish.kind != 'cancelled'
        while time.monotonic() < ends_at:
            wait = 0 if not is_cancelled else 2
            answer = self.client.insist('GET', f'/v2/tasks/{task_id}?wait={wait}')
            if answer.status_code != 200:
                self._complain(wish, f'task {task_id}: {answer.status_code} {answer.text}')
                return
            task = answer.json()
            if task['status'] in FINAL:
                self._judge(wish, task)
                return
            if not is_cancelled and time.monotonic() > cancel_at:
                self.client.ask('POST', f'/v2/tasks/{task_id}/actions/cancel')
                is_cancelled = True
            time.sleep(0.1)
        self._complain(wish, f'task {task_id} did not end in {BOUND_SECONDS} s')

    def _judge(self, wish: Wish, task: dict[str, Any]) -> None:
        self.ended[task['status']] = self.ended.get(task['status'], 0) + 1
        found = self.client.insist('GET', f'/v2/images?name={wish.name}').json()['images']
        if task['status'] == 'failure':
            error = task['error'] or {}
            if (
                error.get('code') not in exceptions.IMPORT_ERRORS
                or wish.name not in task['message']
            ):
                self._complain(wish, f'failed without a reason: {task}')
            if found:
                self._complain(wish, f'failed, and is listed: {task} {found}')
            return
        if wish.kind in ('missing', 'format'):
            self._complain(wish, f'cannot be a success: {task}')
        image_id = task['result']['image_id']
        if [(image['id'], image['status'], image['tags']) for image in found] != [
            (image_id, 'active', ['wished'])
        ]:
            self._complain(wish, f'is a success, and not there: {task} {found}')
        self._there.append((image_id, wish))

    def _remove(self, image_id: str, wish: Wish) -> None:
        wish.deleted = True
        self.client.insist('DELETE', f'/v2/images/{image_id}')

    def _complain(self, wish: Wish, text: str) -> None:
        self.client.problems.append(f'the {wish.kind} wish {wish.name} {text}')
