# SPDX-License-Identifier: Apache-2.0
"""What a project may store: asked before data is taken, while it passes, and when it is kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import webob

from glance_lite import deploy, exceptions
from glance_lite.domain.quota import MIB
from glance_lite.unified_limits import UnifiedLimits
from tests.origin import PERMIT, Origin
from tests.unit.api.conftest import FORMATS, OCTETS, Api, error

OWNER, OTHER = 'p1:member,reader', 'p2:member,reader'
#: Bytes; the project may have 10 of them.
QUOTA = '[DEFAULT]\nuser_storage_quota = 10KB\n'
KB = 1 << 10


@pytest.fixture
def limited(make_api: Callable[..., Api]) -> Api:
    return make_api(QUOTA + PERMIT)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin.serving() as found:
        yield found


def message(answer: webob.Response) -> str:
    return str(answer.json['error']['message'])


def put(api: Api, path: str, size: int, announced: bool = True) -> webob.Response:
    """Send so many bytes; without telling how many if not ``announced``."""
    if announced:
        return api.call('PUT', path, bytes(size), caller=OWNER)
    request = webob.Request.blank(path, method='PUT', content_type=OCTETS)
    request.environ.update(
        {
            'wsgi.input': io.BytesIO(bytes(size)),
            'HTTP_TRANSFER_ENCODING': 'chunked',
            'wsgi.input_terminated': True,
        }
    )
    request.headers['X-Test-Caller'] = OWNER
    return request.get_response(api.app)


def run(api: Api) -> None:
    deploy.load_conductor(api.services.conf, api.services).run_pending()


def do_import(api: Api, path: str, **body: Any) -> webob.Response:
    body.setdefault('method', {'name': 'glance-direct'})
    return api.call('POST', path + '/import', body, caller=body.pop('caller', OWNER))


def import_error(api: Api, path: str) -> str:
    """Run what waits and return why the import of an image failed, '' if it did not."""
    run(api)
    return str(api.get(path).json.get('os_glance_import_error', ''))


def has(api: Api, *sizes: int) -> None:
    """Let the project have images of these sizes, active in the default store."""
    for size in sizes:
        path = api.create(OWNER, **FORMATS)
        assert put(api, path + '/file', size).status_int == 204


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
@pytest.mark.parametrize('announced', [True, False])
def test_data_that_does_not_fit_is_refused(limited: Api, suffix: str, announced: bool) -> None:
    has(limited, 6 * KB)
    before = limited.stored_files()
    path = limited.create(OWNER, **FORMATS)
    answer = put(limited, path + suffix, 4 * KB + 1, announced)
    assert error(answer) == (413, 'limit_exceeded')
    assert 'user_storage_quota' in message(answer) and '10240 bytes' in message(answer)
    image = limited.get(path).json
    assert (image['status'], image['size']) == ('queued', None)
    assert (limited.stored_files(), limited.staged_files()) == (before, [])
    assert put(limited, path + suffix, 4 * KB, announced).status_int == 204


def test_where_nothing_is_left_no_data_is_read(limited: Api) -> None:
    has(limited, 10 * KB)
    path = limited.create(OWNER, **FORMATS)
    for suffix in ('/file', '/stage'):
        answer = put(limited, path + suffix, 1, announced=False)
        assert error(answer) == (413, 'limit_exceeded') and 'no more fits' in message(answer)
    assert put(limited, path + '/file', 0).status_int == 204


def test_each_project_has_its_own_room_and_gets_it_back(limited: Api) -> None:
    has(limited, 10 * KB)
    other = limited.create(OTHER, **FORMATS)
    answer = limited.call('PUT', other + '/file', bytes(10 * KB), caller=OTHER)
    assert answer.status_int == 204
    mine = limited.get('/v2/images?owner=p1').json['images'][0]['id']
    path = limited.create(OWNER, **FORMATS)
    assert put(limited, path + '/file', 1).status_int == 413
    assert limited.call('DELETE', f'/v2/images/{mine}', caller=OWNER).status_int == 204
    assert put(limited, path + '/file', 1).status_int == 204


def test_an_administrator_fills_the_room_of_the_images_owner(limited: Api) -> None:
    has(limited, 8 * KB)
    path = limited.create(OWNER, **FORMATS)
    answer = limited.call('PUT', path + '/file', bytes(3 * KB), caller='ops:admin,member')
    assert error(answer) == (413, 'limit_exceeded')


def test_what_is_staged_must_fit_beside_the_rest(limited: Api) -> None:
    has(limited, 4 * KB)
    first, second = (limited.create(OWNER, **FORMATS) for _ in range(2))
    assert put(limited, first + '/stage', 4 * KB).status_int == 204
    assert error(put(limited, second + '/stage', 3 * KB)) == (413, 'limit_exceeded')
    assert put(limited, second + '/stage', 2 * KB).status_int == 204
    for path in (first, second):
        assert do_import(limited, path).status_int == 202
        assert import_error(limited, path) == ''


def test_each_copy_counts(limited: Api) -> None:
    path = limited.create(OWNER, **FORMATS)
    assert put(limited, path + '/stage', 6 * KB).status_int == 204
    answer = do_import(limited, path, all_stores=True)
    assert error(answer) == (413, 'limit_exceeded') and '12288 more' in message(answer)
    assert limited.get(path).json['status'] == 'uploading'
    assert do_import(limited, path, stores=['fast']).status_int == 202
    run(limited)
    copy = {'method': {'name': 'copy-image'}, 'stores': ['cold'], 'caller': 'p1:admin,member'}
    assert error(do_import(limited, path, **copy)) == (413, 'limit_exceeded')
    assert limited.get(path).json['stores'] == 'fast'


@pytest.mark.parametrize('manner', ['ranges', 'chunks'])
def test_a_download_ends_where_the_room_does(limited: Api, origin: Origin, manner: str) -> None:
    origin.manner = manner
    has(limited, 2 * KB)
    before = limited.stored_files()
    path = limited.create(OWNER, **FORMATS)
    method = {'name': 'web-download', 'uri': origin.publish(bytes(5 * KB))}
    assert do_import(limited, path, method=method, all_stores=True).status_int == 202
    found = import_error(limited, path)
    assert found.startswith('quota_exceeded: ') and 'user_storage_quota' in found
    assert limited.get(path).json['status'] == 'queued'
    assert (limited.stored_files(), limited.staged_files()) == (before, [])
    assert do_import(limited, path, method=method).status_int == 202
    assert import_error(limited, path) == ''


def test_room_that_others_used_up_meanwhile_is_gone_and_may_come_back(limited: Api) -> None:
    path = limited.create(OWNER, **FORMATS)
    assert put(limited, path + '/stage', 4 * KB).status_int == 204
    assert do_import(limited, path).status_int == 202
    has(limited, 7 * KB)
    assert import_error(limited, path).startswith('quota_exceeded: ')
    assert limited.get(path).json['status'] == 'uploading'
    assert error(do_import(limited, path)) == (413, 'limit_exceeded')
    [other] = limited.get('/v2/images?status=active').json['images']
    assert limited.call('DELETE', other['self'], caller=OWNER).status_int == 204
    assert do_import(limited, path).status_int == 202
    assert import_error(limited, path) == ''


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
def test_of_two_that_come_at_once_the_later_may_not_fit(limited: Api, suffix: str) -> None:
    """Both began while there was room for either."""
    path = limited.create(OWNER, **FORMATS)

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            if self.tell() == 0:
                has(limited, 6 * KB)
            return super().readinto(buffer)

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == 0:
                has(limited, 6 * KB)
            return super().read(size)

    request = webob.Request.blank(path + suffix, method='PUT', content_type=OCTETS)
    request.environ.update({'wsgi.input': Slow(bytes(6 * KB)), 'CONTENT_LENGTH': str(6 * KB)})
    request.headers['X-Test-Caller'] = OWNER
    assert error(request.get_response(limited.app)) == (413, 'limit_exceeded')
    assert limited.get(path).json['status'] == 'queued'
    assert (len(limited.stored_files()), limited.staged_files()) == (1, [])


def test_a_location_counts_as_data(make_api: Any, origin: Origin) -> None:
    api = make_api(QUOTA + PERMIT + '[web]\n', stores='fast:file, cold:file, web:http')
    has(api, 8 * KB)
    path = api.create(OWNER, **FORMATS)
    body = {'url': origin.publish(bytes(3 * KB))}
    assert api.call('POST', path + '/locations', body, caller=OWNER).status_int == 202
    assert import_error(api, path).startswith('quota_exceeded: ')
    assert api.get(path).json['status'] == 'queued'


def test_a_task_makes_no_image_that_does_not_fit(make_api: Any, origin: Origin) -> None:
    api = make_api(QUOTA + PERMIT)
    has(api, 8 * KB)
    body = {
        'type': 'import',
        'input': {
            'import_from': origin.publish(bytes(3 * KB)),
            'import_from_format': 'raw',
            'image_properties': {'name': 'made', **FORMATS},
        },
    }
    made = api.call('POST', '/v2/tasks', body)
    run(api)
    task = api.get('/v2/tasks/' + made.json['id']).json
    assert (task['status'], task['error']['code']) == ('failure', 'quota_exceeded')
    assert len(api.get('/v2/images').json['images']) == 1


class Registered:
    """Stands for Keystone: limits by project and name, and who asked for which."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits
        self.asked: list[tuple[str, list[str]]] = []
        self.is_away = False

    def __call__(self, project: str, names: list[str]) -> dict[str, int]:
        if self.is_away:
            raise exceptions.ServiceUnavailable('The limits cannot be read.')
        self.asked.append((project, names))
        return {name: self.limits.get(name, -1) for name in names}


def under(api: Api, **limits: int) -> Registered:
    """Let Keystone have these limits for every project."""
    found = Registered(**limits)
    api.services.unified_limits = UnifiedLimits(found)
    return found


def test_keystones_limits_count_instead_of_the_configured_ones(make_api: Any) -> None:
    api = make_api('[DEFAULT]\nproject_image_quota = 0\nuser_storage_quota = 1\n')
    keystone = under(api, image_count_total=1, image_size_total=1)
    path = api.create(OWNER, **FORMATS)
    answer = api.call('POST', '/v2/images', {}, caller=OWNER)
    assert error(answer) == (413, 'limit_exceeded') and 'image_count_total' in message(answer)
    assert put(api, path + '/file', MIB).status_int == 204
    assert keystone.asked == [
        ('p1', ['image_count_total']),
        ('p1', ['image_count_total']),
        ('p1', ['image_count_uploading', 'image_size_total']),
    ]


def test_the_project_that_owns_the_image_is_asked_about(api: Api) -> None:
    path = api.create(OWNER, **FORMATS)
    keystone = under(api)
    answer = api.call('PUT', path + '/stage', b'x', caller='ops:admin,member')
    assert answer.status_int == 204
    assert keystone.asked == [('p1', ['image_count_uploading', 'image_stage_total'])]


def test_nobody_is_asked_about_images_that_are_not_the_callers(api: Api) -> None:
    path = api.create(OWNER, visibility='private', **FORMATS)
    keystone = under(api)
    for suffix in ('/file', '/stage'):
        answer = api.call('PUT', path + suffix, b'x', caller=OTHER)
        assert error(answer) == (404, 'image_not_found')
    assert keystone.asked == []


def test_what_comes_is_counted_while_it_comes(api: Api) -> None:
    first, second = (api.create(OWNER, **FORMATS) for _ in range(2))
    under(api, image_count_uploading=1)
    assert put(api, first + '/stage', 1).status_int == 204
    method = {'name': 'web-download', 'uri': 'https://93.184.215.14/disk'}
    for answer in (
        put(api, second + '/stage', 1),
        put(api, second + '/file', 1),
        do_import(api, second, method=method),
    ):
        assert error(answer) == (413, 'limit_exceeded')
        assert 'image_count_uploading' in message(answer)
    assert do_import(api, first).status_int == 202
    assert put(api, second + '/file', 1).status_int == 413
    run(api)
    copy = {'method': {'name': 'copy-image'}, 'stores': ['cold'], 'caller': 'p1:admin,member'}
    assert do_import(api, first, **copy).status_int == 202
    assert put(api, second + '/file', 1).status_int == 413
    run(api)
    assert put(api, second + '/file', 1).status_int == 204


def test_an_import_keeps_the_limits_of_when_it_was_asked_for(api: Api) -> None:
    """Conductors need no Keystone."""
    path = api.create(OWNER, **FORMATS)
    keystone = under(api, image_size_total=1)
    assert put(api, path + '/stage', MIB).status_int == 204
    assert do_import(api, path).status_int == 202
    keystone.is_away = True
    assert import_error(api, path) == ''
    assert api.get(path).json['status'] == 'active'


def test_without_keystone_nothing_new_begins(api: Api) -> None:
    path = api.create(OWNER, **FORMATS)
    assert put(api, path + '/stage', 1).status_int == 204
    under(api).is_away = True
    for answer in (
        api.call('POST', '/v2/images', {}, caller=OWNER),
        put(api, path + '/file', 1),
        do_import(api, path),
    ):
        assert error(answer) == (503, 'service_unavailable')
        assert answer.headers['Retry-After']
    assert api.get(path).json['status'] == 'uploading'
    assert api.call('DELETE', path, caller=OWNER).status_int == 204
