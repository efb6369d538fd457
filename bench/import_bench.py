# SPDX-License-Identifier: Apache-2.0
"""Measure imports: one large image by either method, and many small ones at once."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections.abc import Callable

from http_client import Client, UnexpectedAnswer
from measurement import Meter, Service, Setting, same_digest

IMPORT_TIMEOUT_SECONDS = 300
SMALL_IMAGES = 200
SMALL_CLIENTS = 16
SMALL_TIMEOUT_SECONDS = 120
SMALL_POLL_SECONDS = 0.1
SMALL_POLL_SHARE = 0.3
#: Parts of a measurement of two things, which take turns.
TURNS = 4
DIRECT = {'name': 'glance-direct'}


def glance_direct(service: Service, setting: Setting) -> dict[str, float]:
    """Stage the payload and import it with glance-direct."""
    client = service.client()
    image_id = client.create_image('bench glance-direct')
    with Meter(service) as staging:
        client.upload(image_id, 'stage', setting.payload.path)
    with Meter(service) as importing:
        client.start_import(image_id, DIRECT)
        image = client.wait_active(image_id, IMPORT_TIMEOUT_SECONDS)
    same_digest(service, 'an imported image', setting.payload.sha512, image['os_hash_value'])
    mib = setting.payload.mib
    cpu = staging.cpu_seconds + importing.cpu_seconds
    return {
        'direct_mib_s': mib / (staging.seconds + importing.seconds),
        'direct_stage_mib_s': mib / staging.seconds,
        'direct_active_s': importing.seconds,
        'direct_cpu_s_gib': cpu * 1024 / mib,
    }


def web_download(service: Service, setting: Setting) -> dict[str, float]:
    """Import the payload from the loopback source with web-download."""
    client = service.client()
    image_id = client.create_image('bench web-download')
    with Meter(service) as meter:
        client.start_import(image_id, {'name': 'web-download', 'uri': setting.source_url})
        image = client.wait_active(image_id, IMPORT_TIMEOUT_SECONDS)
    same_digest(service, 'a fetched image', setting.payload.sha512, image['os_hash_value'])
    return {
        'web_mib_s': setting.payload.mib / meter.seconds,
        'web_cpu_s_gib': meter.cpu_seconds * 1024 / setting.payload.mib,
    }


def many_small(service: Service, setting: Setting) -> dict[str, float]:
    """Create, stage and import 200 images of 1 MiB with 16 clients, each waiting for its image.

    Ends after 120 s at the latest; what failed or did not come is counted.
    """
    with Meter(service) as meter:
        active, failures = _by_clients(
            service, SMALL_IMAGES, lambda client, number: _import_small(client, setting, number)
        )
    _check_small(service, setting, active, failures)
    return {
        'many_images_s': len(active) / meter.seconds,
        'many_cpu_ms_image': meter.cpu_seconds * 1000 / max(1, len(active)),
        'many_failed': SMALL_IMAGES - len(active),
    }


def tasks_and_imports(service: Service, setting: Setting) -> dict[str, float]:
    """Make 200 images of 1 MiB by tasks, and as many by web-download, with 16 clients.

    In turn, a quarter at a time, so that whatever else the machine does meets both. Each client
    waits for its image, and looks as often in one way as in the other.
    """
    ways = {'tasks': _make_by_task, 'tasks_web': _fetch_small}
    seconds = dict.fromkeys(ways, 0.0)
    counts = dict.fromkeys(ways, 0)
    for turn in range(TURNS):
        for name in ways if turn % 2 else reversed(ways):
            way = ways[name]
            with Meter(service) as meter:
                active, failures = _by_clients(
                    service,
                    SMALL_IMAGES // TURNS,
                    lambda client, number, way=way: way(client, setting, number),
                )
            _check_small(service, setting, active, failures)
            seconds[name] += meter.seconds
            counts[name] += len(active)
    rates = {name: counts[name] / seconds[name] for name in ways}
    return {
        'tasks_images_s': rates['tasks'],
        'tasks_web_images_s': rates['tasks_web'],
        'tasks_ratio': rates['tasks'] / rates['tasks_web'] if rates['tasks_web'] else 0.0,
        'tasks_failed': 2 * SMALL_IMAGES - sum(counts.values()),
    }


def _by_clients(
    service: Service, count: int, make: Callable[[Client, int], str]
) -> tuple[list[str], list[str]]:
    """Make so many images with 16 clients; return the hashes that they got, and failures.

    Ends after 120 s at the latest.
    """
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(count):
        numbers.put(number)
    active: list[str] = []
    failures: list[str] = []
    deadline = time.monotonic() + SMALL_TIMEOUT_SECONDS

    def work() -> None:
        client = service.client(timeout_seconds=30)
        while time.monotonic() < deadline:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            try:
                active.append(make(client, number))
            except (OSError, http.client.HTTPException, UnexpectedAnswer) as error:
                failures.append(str(error))
                client.close()

    threads = [threading.Thread(target=work) for _ in range(SMALL_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return active, failures


def _check_small(
    service: Service, setting: Setting, active: list[str], failures: list[str]
) -> None:
    for digest in active:
        same_digest(service, 'a small image', setting.small.sha512, digest)
    for failure in failures[:3]:
        print(f'  {service.name}: {failure[:200]}', flush=True)


def _fetch_small(client: Client, setting: Setting, number: int) -> str:
    """Import one small image from the source; return the SHA-512 that it got."""
    image_id = client.create_image(f'bench fetched {number}')
    client.start_import(image_id, {'name': 'web-download', 'uri': setting.small_url})
    image = client.wait_active(
        image_id, SMALL_TIMEOUT_SECONDS, SMALL_POLL_SECONDS, SMALL_POLL_SHARE
    )
    return image['os_hash_value']


def _make_by_task(client: Client, setting: Setting, number: int) -> str:
    """Make one small image of the source's data by a task; return the SHA-512 that it got."""
    task_id = client.start_task(setting.small_url, f'bench by task {number}')
    image = client.wait_task(task_id, SMALL_TIMEOUT_SECONDS, SMALL_POLL_SECONDS, SMALL_POLL_SHARE)
    return image['os_hash_value']


def _import_small(client: Client, setting: Setting, number: int) -> str:
    """Import one small image; return the SHA-512 that it got."""
    image_id = client.create_image(f'bench small {number}')
    client.upload(image_id, 'stage', setting.small.path)
    client.start_import(image_id, DIRECT)
    image = client.wait_active(
        image_id, SMALL_TIMEOUT_SECONDS, SMALL_POLL_SECONDS, SMALL_POLL_SHARE
    )
    return image['os_hash_value']
