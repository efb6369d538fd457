# SPDX-License-Identifier: Apache-2.0
"""Figures of a real service: several workers and a conductor, summed up on a port of their own."""

from __future__ import annotations

import contextlib
from pathlib import Path

import requests
from prometheus_client import parser

from tests.functional.processes import free_port, program, running, wait_for
from tests.functional.service import Service, service


def scrape(port: int) -> dict[str, float]:
    """Return the figures by name and labels, as they are written."""
    answer = requests.get(f'http://127.0.0.1:{port}/metrics', timeout=30)
    assert answer.status_code == 200
    return {
        sample.name + ''.join(f' {value}' for _, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def imports(found: dict[str, float]) -> float:
    """Return how many imports have ended."""
    return sum(number for name, number in found.items() if 'imports_total' in name)


def test_workers_and_conductor_are_summed_up(tmp_path: Path) -> None:
    port = free_port()
    extra = f'[DEFAULT]\nworkers = 2\n[metrics]\nbind_port = {port}\n'
    with service(tmp_path, extra=extra) as api:
        good = api.create()
        assert api.put(good, b'x' * 5000).status_code == 204
        assert api.post_import(good).status_code == 202
        assert api.wait(good)['status'] == 'success'
        bad = api.create()
        assert api.put(bad, b'x' * 5000).status_code == 204
        api.replace(bad, disk_format='qcow2')
        assert api.post_import(bad).status_code == 202
        assert api.wait(bad)['status'] == 'failure'
        for _ in range(20):  # with a connection of its own each, so that both workers answer
            assert api.request('GET', f'/v2/images/{good}').status_code == 200
        assert api.request('GET', '/v2/images/none/of/these').status_code == 404
        # an import is counted a moment after its task tells how it ended
        wait_for(lambda: imports(scrape(port)) == 2, 20, 'both imports')
        found = scrape(port)
        assert found['glance_lite_http_requests_total GET /v2/images/{image_id} 200'] == 20
        assert found['glance_lite_http_requests_total POST /v2/images 201'] == 2
        assert found['glance_lite_http_requests_total GET other 404'] == 1
        assert found['glance_lite_imports_total  glance-direct success'] == 1
        assert found['glance_lite_database_up'] == found['glance_lite_conductors'] == 1
        assert found['glance_lite_imports_waiting'] == 0
        assert found['glance_lite_staging_free_bytes'] > 0
        # nothing of it is on the port of the API, and nothing else on this one
        assert 'glance_lite' not in api.request('GET', '/metrics').text
        assert requests.get(f'http://127.0.0.1:{port}/', timeout=30).status_code == 404


def test_two_programs_of_a_host_share_a_directory(tmp_path: Path) -> None:
    port = free_port()
    extra = (
        f'[DEFAULT]\napi_only = true\n'
        f'[metrics]\nbind_port = {port}\ndirectory = {tmp_path}/figures\n'
    )
    with contextlib.ExitStack() as stack:
        api: Service = stack.enter_context(service(tmp_path, extra=extra))
        stack.enter_context(
            running(
                [program('glance-lite-conductor'), '--config-file', str(api.config)],
                tmp_path / 'conductor.log',
            )
        )
        image_id = api.create()
        assert api.put(image_id, b'x').status_code == 204
        assert api.post_import(image_id).status_code == 202
        assert api.wait(image_id)['status'] == 'success'
        wait_for(
            lambda: scrape(port).get('glance_lite_imports_total  glance-direct success') == 1,
            20,
            'the import of the other program',
        )
