# SPDX-License-Identifier: Apache-2.0
"""What load balancers, proxies and browsers need of the real server, in one run of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.functional.processes import wait_for
from tests.functional.service import Service, service

PAGE = 'https://dashboard.example.org'


@pytest.fixture(scope='module')
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp('front')
    extra = (
        f'[healthcheck]\ndisable_by_file_path = {folder}/out\n'
        f'[cors]\nallowed_origin = {PAGE}\n'
        '[oslo_middleware]\nenable_proxy_headers_parsing = true\n'
    )
    with service(folder, extra=extra) as found:
        yield found


def test_the_health_file_takes_the_host_out_and_puts_it_in_again(api: Service) -> None:
    assert api.request('GET', '/healthcheck').status_code == 200
    assert api.request('HEAD', '/healthcheck').status_code == 204  # nothing to say, and well
    (api.folder / 'out').touch()
    answer = api.request('GET', '/healthcheck')
    assert (answer.status_code, answer.reason) == (503, 'Service Unavailable')
    assert api.request('HEAD', '/healthcheck').status_code == 503
    assert str(api.folder) not in answer.text
    # only the load balancer is told: what still comes is answered
    assert api.request('GET', '/v2/images').status_code == 200
    (api.folder / 'out').unlink()
    wait_for(lambda: api.request('GET', '/healthcheck').status_code == 200, 5, 'health')


def test_a_browser_is_let_in_from_the_configured_page_only(api: Service) -> None:
    preflight = {'Access-Control-Request-Method': 'PATCH', 'Origin': PAGE}
    preflight['Access-Control-Request-Headers'] = 'X-Auth-Token, Content-Type'
    answer = api.request('OPTIONS', '/v2/images/x', headers=preflight)
    assert answer.status_code == 200
    assert answer.headers['Access-Control-Allow-Origin'] == PAGE
    assert 'PATCH' in answer.headers['Access-Control-Allow-Methods']
    assert 'X-Auth-Token' in answer.headers['Access-Control-Allow-Headers']
    answer = api.request('GET', '/v2/images', headers={'Origin': PAGE})
    assert answer.headers['Access-Control-Allow-Origin'] == PAGE
    assert 'X-OpenStack-Request-ID' in answer.headers['Access-Control-Expose-Headers']
    for origin in ('https://evil.example.org', 'null'):
        for method, path in (('OPTIONS', '/v2/images/x'), ('GET', '/v2/images')):
            answer = api.request(method, path, headers={**preflight, 'Origin': origin})
            assert 'Access-Control-Allow-Origin' not in answer.headers


def test_a_browser_may_read_an_error_too(api: Service) -> None:
    answer = api.request('GET', '/v2/images/x', headers={'Origin': PAGE})
    assert answer.status_code == 404
    assert answer.headers['Access-Control-Allow-Origin'] == PAGE


def test_links_are_those_of_the_proxy(api: Service) -> None:
    headers = {'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'images.example.org'}
    links = api.request('GET', '/versions', headers=headers).json()['versions'][0]['links']
    assert links[0]['href'] == 'https://images.example.org/v2/'
    links = api.request('GET', '/versions').json()['versions'][0]['links']
    assert links[0]['href'] == f'{api.url}/v2/'


def test_a_request_id_is_in_answer_error_and_log(api: Service) -> None:
    own = api.request('GET', '/v2/images/x').headers['x-openstack-request-id']
    assert re.fullmatch(r'req-[0-9a-f-]{36}', own)
    answer = api.request('GET', '/v2/images/x', headers={'x-openstack-request-id': 'req-mine'})
    assert answer.headers['x-openstack-request-id'] == 'req-mine'
    assert answer.json()['error']['request_id'] == 'req-mine'
    wait_for(lambda: 'req-mine GET /v2/images/x 404' in api.process.text(), 5, 'the log line')
    long = api.request('GET', '/v2/images', headers={'x-openstack-request-id': 'r' * 65})
    assert long.status_code == 431
    assert long.headers['x-openstack-request-id'] != 'r' * 65


def test_every_answer_has_one_request_id(api: Service) -> None:
    for path in ('/', '/versions', '/healthcheck', '/v2/images', '/nothing'):
        answer = api.request('GET', path)
        assert re.fullmatch(r'req-[0-9a-f-]{36}', answer.headers['x-openstack-request-id']), path
