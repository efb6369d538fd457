# SPDX-License-Identifier: Apache-2.0
"""SQLite under sixteen clients that write and read at once: every answer is the right one."""

from __future__ import annotations

import collections
import concurrent.futures
from pathlib import Path

import requests

from tests.functional.service import service

CLIENTS = 16
ROUNDS = 6
PATCH = {'Content-Type': 'application/openstack-images-v2.1-json-patch'}


def work(url: str, client: int) -> collections.Counter[str]:
    """Make, change, find and delete images; return how often each call answered what."""
    seen: collections.Counter[str] = collections.Counter()
    with requests.Session() as session:
        for number in range(ROUNDS):
            name = f'{client}-{number}'
            body = {
                'name': name,
                'disk_format': 'raw',
                'container_format': 'bare',
                'tags': [f'client-{client}'],
                'client': str(client),
            }
            made = session.post(f'{url}/v2/images', json=body, timeout=60)
            seen[f'create {made.status_code}'] += 1
            image = f'{url}/v2/images/{made.json()["id"]}'
            changes = [{'op': 'add', 'path': '/round', 'value': str(number)}]
            patched = session.patch(image, json=changes, headers=PATCH, timeout=60)
            seen[f'patch {patched.status_code}'] += 1
            listed = session.get(
                f'{url}/v2/images?client={client}&tag=client-{client}&round={number}', timeout=60
            )
            seen[f'list {listed.status_code}'] += 1
            assert [each['name'] for each in listed.json()['images']] == [name]
            if number % 2:
                seen[f'delete {session.delete(image, timeout=60).status_code}'] += 1
    return seen


def test_sixteen_clients_of_sqlite_meet_no_error(tmp_path: Path) -> None:
    with service(tmp_path, extra='[DEFAULT]\nworkers = 2\n') as found:
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            futures = [pool.submit(work, found.url, client) for client in range(CLIENTS)]
            seen = sum((each.result() for each in futures), collections.Counter())
        calls = CLIENTS * ROUNDS
        assert seen == {
            'create 201': calls,
            'patch 200': calls,
            'list 200': calls,
            'delete 204': calls // 2,
        }
        left = found.request('GET', '/v2/images?limit=1000').json()['images']
        assert len(left) == calls // 2
        assert all(each['round'] == each['name'].rpartition('-')[2] for each in left)
