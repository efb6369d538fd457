# SPDX-License-Identifier: Apache-2.0
"""Clients that bring images through a service that is being struck, and check what it tells them.

A client knows no more than what any user knows: it looks at the image and does what its status
asks for. So whatever happened, "the same call again" is what brings the image to an end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import threading
import time
import uuid
from typing import Any

import requests

from glance_lite import exceptions
from tests.faults.disks import Disk, DiskSource
from tests.faults.points import COPY, DIRECT, UPLOAD, WEB
from tests.faults.world import STORES, World

#: Seconds in which an import, or an upload that was torn, must come to an end of some kind, even
#: while every other second something strikes.
BOUND_SECONDS = 180
#: Statuses of an image that is to be imported, or imported again.
BEFORE = ('queued', 'uploading')
FAILED, ACTIVE, GONE, GAVE_UP = 'failed', 'active', 'gone', 'gave up'


@dataclasses.dataclass
class Image:
    """What a client knows of its image."""

    image_id: str
    method: str
    disk: Disk
    #: What the import asks for beside its method.
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    #: Declared wrongly at first: 'checksum' or 'format'.
    wrong: str | None = None
    #: Codes that the client has itself to thank for.
    intended: set[str] = dataclasses.field(default_factory=set)
    deleted: bool = False
    #: How imports of it failed: the code, and the image's status then.
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    #: Calls that brought data or asked for an import.
    calls: int = 0
    end: str | None = None
    story: list[str] = dataclasses.field(default_factory=list)

    def tell(self, text: str) -> None:
        """Remember what happened."""
        self.story.append(f'{time.strftime("%H:%M:%S")} {text}')


class Client:
    """Calls the service for one thread. Connection trouble is an answer like any other: None."""

    def __init__(self, world: World, source: DiskSource, rng: random.Random) -> None:
        self.world, self.source, self.rng = world, source, rng
        self.problems: list[str] = []
        self.images: list[Image] = []
        self.imports = 0
        #: How many of the imports it cancels, or ends by deleting the image.
        self.meddling = 0.16

    # Calls

    def ask(self, method: str, path: str, **options: Any) -> requests.Response | None:
        """Send a request; None if no answer came."""
        try:
            return self.world.service.request(method, path, timeout=20, **options)
        except requests.RequestException:
            return None

    def insist(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request until it is answered by something else than 5xx.

        :raises TimeoutError: it never is.
        """
        ends_at = time.monotonic() + BOUND_SECONDS
        while time.monotonic() < ends_at:
            answer = self.ask(method, path, **options)
            if answer is not None and answer.status_code < 500:
                return answer
            time.sleep(0.2)
        raise TimeoutError(f'{method} {path} had no answer for {BOUND_SECONDS} s')

    def look(self, image: Image) -> dict[str, Any] | None:
        """Return the image as the API shows it; None if there is none."""
        answer = self.insist('GET', f'/v2/images/{image.image_id}')
        return answer.json() if answer.status_code == 200 else None

    def last_task(self, image: Image) -> dict[str, Any] | None:
        """Return the newest task of the image."""
        answer = self.insist('GET', f'/v2/images/{image.image_id}/tasks')
        found = answer.json()['tasks'] if answer.status_code == 200 else []
        return found[-1] if found else None

    # One image

    def new_image(self, method: str | None = None, **values: Any) -> Image:
        """Make up an image and create its record."""
        rng = self.rng
        method = method or rng.choices((DIRECT, WEB, UPLOAD, COPY), (5, 4, 2, 2))[0]
        image = Image(
            str(uuid.UUID(int=rng.getrandbits(128))), method, Disk(rng, rng.random() < 0.3)
        )
        for name, value in values.items():
            setattr(image, name, value)
        self.images.append(image)
        self.source.disks[image.image_id] = image.disk
        self.create(image)
        return image

    def create(self, image: Image) -> None:
        """Create the record; again is the same, as the client chooses the id."""
        body = {
            'id': image.image_id,
            'name': 'disk',
            'disk_format': 'qcow2' if image.wrong == 'format' else 'raw',
            'container_format': 'bare',
        }
        answer = self.insist('POST', '/v2/images', json=body)
        if answer.status_code not in (201, 409):
            self.complain(image, f'create answered {answer.status_code} {answer.text}')

    def complain(self, image: Image, text: str) -> None:
        """Note something that must not be."""
        image.tell(f'WRONG: {text}')
        self.problems.append(f'image {image.image_id}: {text}\n    ' + '\n    '.join(image.story))

    def bring(self, image: Image, failures: int = 5, seconds: float = 600) -> str:
        """Do what the image's status asks for until it is active, gone, or has failed so often.

        An image of the method copy-image is to be active in all stores.
        """
        ends_at = time.monotonic() + seconds
        since, before = time.monotonic(), ''
        while time.monotonic() < ends_at:
            shown = self.look(image)
            if shown is None:
                return self.finish(image, GONE)
            status = shown['status']
            if status != before:
                image.tell(f'is {status}')
                since, before = time.monotonic(), status
            if status == 'active' and not self.lacking(image, shown):
                return self.finish(image, ACTIVE)
            if status == 'importing' or 'os_glance_import_task' in shown:
                if not self.wait(image):
                    failures -= 1
                    if failures <= 0:
                        return self.finish(image, FAILED)
                since = time.monotonic()
                continue
            if time.monotonic() - since > BOUND_SECONDS:
                self.complain(image, f'stays {status} for {BOUND_SECONDS} s')
                return self.finish(image, GAVE_UP)
            self.advance(image, shown)
        self.complain(image, f'is not at its end after {seconds} s')
        return self.finish(image, GAVE_UP)

    def finish(self, image: Image, end: str) -> str:
        """Note how it ended."""
        image.end = end
        if end == GONE and not image.deleted:
            self.complain(image, 'is gone, and nobody deleted it')
        image.tell(end)
        return end

    @staticmethod
    def lacking(image: Image, shown: dict[str, Any]) -> list[str]:
        """Return the stores that are still to get the data of an active image."""
        there = shown['stores'].split(',')
        return [store for store in STORES if store not in there] if image.method == COPY else []

    def advance(self, image: Image, shown: dict[str, Any]) -> None:
        """Make the call that the status asks for."""
        status = shown['status']
        if status == 'queued' and image.method in (UPLOAD, COPY):
            self.put(image, 'file')
        elif status == 'queued' and image.method == DIRECT:
            self.put(image, 'stage')
        elif status == 'active':
            self.post(image, {'stores': self.lacking(image, shown)})
        elif status == 'queued' or (status == 'uploading' and image.method == DIRECT):
            self.post(image, image.options)
        else:
            time.sleep(0.2)

    def put(self, image: Image, to: str) -> None:
        """Stage or upload the data once."""
        if image.wrong == 'format':
            image.intended.add('format_mismatch')
        headers = {'Content-Type': 'application/octet-stream'}
        if to == 'file' and self.rng.random() < 0.5:
            headers['X-Image-Meta-Store'] = self.rng.choice(STORES)
        image.calls += 1
        data: Any = image.disk.pieces() if image.disk.seconds else bytes(image.disk.data)
        answer = self.ask('PUT', f'/v2/images/{image.image_id}/{to}', data=data, headers=headers)
        image.tell(f'PUT {to}: {_short(answer)}')
        if answer is not None and answer.status_code == 415:
            self.correct(image)
        elif answer is None or answer.status_code != 204:
            time.sleep(0.2)

    def post(self, image: Image, options: dict[str, Any]) -> None:
        """Ask for the import once."""
        method: dict[str, Any] = {'name': image.method}
        if image.method == WEB:
            method['uri'] = f'{self.source.url}/{image.image_id}'
        if image.wrong == 'checksum':
            method['os_hash_algo'], method['os_hash_value'] = 'sha512', 'a' * 128
        body = {'method': method, **options}
        image.calls += 1
        if image.wrong:
            image.intended.add(f'{image.wrong}_mismatch')
        answer = self.ask('POST', f'/v2/images/{image.image_id}/import', json=body)
        image.tell(f'POST import: {_short(answer)}')
        if answer is not None and answer.status_code == 202:
            self.imports += 1
            return
        # an earlier request of which nothing was heard may have been first
        passing = (409, 500, 503, 400) if image.method == COPY else (409, 500, 503)
        if answer is not None and answer.status_code not in passing:
            self.complain(image, f'import answered {answer.status_code} {answer.text}')
        time.sleep(0.25)

    def correct(self, image: Image) -> None:
        """Declare the image as it is."""
        if image.wrong == 'format':
            answer = self.insist(
                'PATCH',
                f'/v2/images/{image.image_id}',
                json=[{'op': 'replace', 'path': '/disk_format', 'value': 'raw'}],
                headers={'Content-Type': 'application/openstack-images-v2.1-json-patch'},
            )
            if answer.status_code != 200:
                # an upload is not over yet whose end could not be noted for want of the database
                image.tell(f'PATCH disk_format: {_short(answer)}')
                return
        image.wrong = None

    def wait(self, image: Image) -> bool:
        """Wait for the end of the import; True unless it failed. Sometimes end it earlier."""
        ends_at = time.monotonic() + BOUND_SECONDS
        meddle_at = time.monotonic() + self.rng.uniform(0, 1.0)
        meddle = self.rng.random()
        while time.monotonic() < ends_at:
            task = self.last_task(image)
            if task is None:
                return True  # deleted
            if task['status'] == 'success':
                image.tell(f'task {task["id"]}: success')
                return True
            if task['status'] == 'failure':
                self.check_failure(image, task)
                return False
            if time.monotonic() > meddle_at and meddle < self.meddling:
                self.meddle(image, delete=meddle < self.meddling / 2)
                meddle = 1
            time.sleep(0.15)
        self.complain(image, f'an import did not end in {BOUND_SECONDS} s')
        return True

    def meddle(self, image: Image, delete: bool) -> None:
        """Cancel the import, or delete its image."""
        image.intended.add('cancelled')
        if not delete:
            answer = self.ask('POST', f'/v2/images/{image.image_id}/actions/cancel_import')
            image.tell(f'cancel: {_short(answer)}')
            return
        self.delete(image)

    def delete(self, image: Image) -> None:
        """Delete the image for good."""
        image.deleted = True
        answer = self.insist('DELETE', f'/v2/images/{image.image_id}')
        image.tell(f'DELETE: {_short(answer)}')
        if answer.status_code not in (204, 404):
            self.complain(image, f'DELETE answered {answer.status_code} {answer.text}')

    def check_failure(self, image: Image, task: dict[str, Any]) -> None:
        """See that a failed import told why, and left the image as the table says."""
        error = task.get('error') or {}
        code = error.get('code')
        image.tell(f'task {task["id"]}: {code} in {error.get("phase")}: {task["message"]}')
        if code not in exceptions.IMPORT_ERRORS or not task['message']:
            self.complain(image, f'failed without a published reason: {task}')
            return
        shown = self.look(image)
        if shown is None:
            return  # deleted meanwhile
        image.failures.append((code, shown['status']))
        if shown['status'] not in (('active',) if image.method == COPY else BEFORE):
            self.complain(image, f'is {shown["status"]} after a failure')
        if not shown.get('os_glance_import_error', '').startswith(code):
            self.complain(image, f'does not tell why: {shown}')
        if code.endswith('_mismatch'):
            self.correct(image)

    def check_data(self, image: Image, plugins: list[str]) -> None:
        """Download an active image and compare."""
        digest = hashlib.sha512()
        answer = self.insist('GET', f'/v2/images/{image.image_id}/file')
        digest.update(answer.content)
        if digest.hexdigest() != image.disk.sha512(plugins):
            self.complain(image, 'gives other data than was sent')


class ClientThread(threading.Thread):
    """Brings one image after another until told to stop."""

    def __init__(self, client: Client, stop: threading.Event, keep: int) -> None:
        super().__init__(daemon=True)
        self.client, self._stop_it, self._keep = client, stop, keep
        self.ended: dict[str, int] = {}

    def run(self) -> None:
        rng = self.client.rng
        while not self._stop_it.is_set():
            try:
                image = self.client.new_image(wrong=self._choose_wrong(), options=self._choose())
                # leave some failed as they are: they are imported again at the end
                end = self.client.bring(image, rng.choice((1, 5, 20)))
            except Exception as error:
                self.client.problems.append(f'a client failed: {error!r}')
                return
            self.ended[end] = self.ended.get(end, 0) + 1
            self._tidy()

    def _choose_wrong(self) -> str | None:
        return self.client.rng.choices((None, 'checksum', 'format'), (10, 1, 1))[0]

    def _choose(self) -> dict[str, Any]:
        rng = self.client.rng
        if rng.random() < 0.5:
            return {}
        stores = rng.sample(STORES, rng.choice((1, 2)))
        return {'stores': stores, 'all_stores_must_succeed': rng.random() < 0.6}

    def _tidy(self) -> None:
        """Delete the oldest image when there are many."""
        kept = [image for image in self.client.images if not image.deleted]
        if len(kept) > self._keep:
            self.client.delete(kept[0])


def _short(answer: requests.Response | None) -> str:
    if answer is None:
        return 'no answer'
    return f'{answer.status_code} {answer.text[:200] if answer.status_code >= 400 else ""}'.strip()
