# SPDX-License-Identifier: Apache-2.0
"""Lessons of the field's advisories: who may do what, and what nobody may write.

The number in a name is the row on the page ``contributor/security``.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import webob

from glance_lite import deploy
from glance_lite.domain import image as domain
from glance_lite.middleware.identity import identify_by_keystone

from .conftest import FORMATS, OCTETS, Api, error

OWNER, STRANGER = 'p2:member,reader', 'p3:member,reader'
FORBIDDEN = (403, 'forbidden')
NOT_THERE = (404, 'image_not_found')
PATCH_2_0 = 'application/openstack-images-v2.0-json-patch'


def replace(name: str, value: object, op: str = 'replace') -> list[dict[str, object]]:
    return [{'op': op, 'path': f'/{name}', 'value': value}]


@pytest.mark.parametrize(
    ('visibility', 'expected'), [('private', NOT_THERE), ('public', FORBIDDEN)]
)
def test_f01_a_stranger_deletes_neither_the_record_nor_the_data(
    api: Api, visibility: str, expected: tuple[int, str]
) -> None:
    path = api.upload(visibility=visibility, owner='p2')
    assert error(api.call('DELETE', path, caller=STRANGER)) == expected
    assert api.get(path + '/file').body == b'data' and len(api.stored_files()) == 1


def test_f03_no_answer_says_where_data_rests(api: Api, tmp_path: Path) -> None:
    path = api.upload(visibility='public')
    for caller, (method, part) in itertools.product(
        (None, STRANGER),
        (('GET', ''), ('GET', '/file'), ('GET', '/tasks'), ('PATCH', '')),
    ):
        answer = api.call(method, path + part, [] if method == 'PATCH' else None, caller=caller)
        told = str(answer.headers) + answer.text
        assert str(tmp_path) not in told and 'file:' not in told, (method, part)
        assert not {'direct_url', 'locations'} & set(answer.json if part == '' else ())
    assert str(tmp_path) not in api.get('/v2/images').text


def test_f04_every_way_to_the_data_asks_the_download_rule(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    (tmp_path / 'policy.yaml').write_text('"download_image": "rule:context_is_admin"')
    api = make_api()
    path = api.upload(owner='p2', visibility='public') + '/file'
    ways = [
        ('', {}),
        ('?prefer=cold', {}),
        ('', {'Range': 'bytes=0-1'}),
        ('', {'Content-Range': 'bytes 0-1/4'}),
    ]
    assert api.get(path).body == b'data'
    for query, headers in ways:
        for caller in (OWNER, STRANGER):
            answer = api.get(path + query, headers=headers, caller=caller)
            assert error(answer) == FORBIDDEN
    assert api.call('HEAD', path, caller=OWNER).status_int == 405


@pytest.mark.parametrize('name', sorted(domain.READ_ONLY_ATTRIBUTES))
def test_f12_no_request_writes_what_the_service_finds_out(api: Api, name: str) -> None:
    """Neither an administrator nor the owner; headers are no way either."""
    path = api.create(owner='p2')
    before = api.get(path).json
    for caller in (None, OWNER):
        assert error(api.call('POST', '/v2/images', {name: 'x'}, caller=caller)) == FORBIDDEN
        for op in ('add', 'replace', 'remove'):
            answer = api.call('PATCH', path, replace(name, 'active', op), caller=caller)
            assert error(answer) == FORBIDDEN
    header = {f'x-image-meta-{name}': 'active', 'Content-Type': OCTETS}
    assert api.call('PATCH', path, [], header | {'Content-Type': PATCH_2_0}).status_int == 200
    assert {**api.get(path).json, 'updated_at': 0} == {**before, 'updated_at': 0}


def test_f13_data_of_an_active_image_is_never_replaced(api: Api) -> None:
    path = api.upload(owner='p2')
    before = api.get(path).json
    for caller in (None, OWNER):
        for op in ('remove', 'replace', 'add'):
            for part in ('locations', 'locations/0', 'locations/-'):
                answer = api.call('PATCH', path, replace(part, [], op), caller=caller)
                assert answer.status_int in (400, 403), answer.body
        for part in ('/file', '/stage'):
            answer = api.call('PUT', path + part, b'other', caller=caller)
            assert error(answer) == (409, 'status_conflict')
        body = {'method': {'name': 'glance-direct'}}
        answer = api.call('POST', path + '/import', body, caller=caller)
        assert error(answer) == (409, 'status_conflict')
    assert api.get(path).json == before and api.get(path + '/file').body == b'data'
    assert domain.QUEUED not in domain.TRANSITIONS[domain.ACTIVE]
    assert domain.QUEUED not in domain.TRANSITIONS[domain.DEACTIVATED]


def test_f21_locations_are_neither_shown_nor_taken_by_default(api: Api) -> None:
    location = {'url': 'http://example.org/disk', 'metadata': {}}
    path = api.create(owner='p2', **FORMATS)
    for caller in (None, OWNER):
        answer = api.call('POST', '/v2/images', {'locations': [location]}, caller=caller)
        assert error(answer) == FORBIDDEN
        for part in ('locations', 'locations/-', 'locations/0'):
            answer = api.call('PATCH', path, replace(part, location, 'add'), caller=caller)
            assert error(answer) == FORBIDDEN
        assert 'locations' not in api.get(path, caller=caller).json
    assert api.get(path).json['status'] == 'queued'


def test_f22_the_id_of_a_deleted_image_is_never_given_again(api: Api) -> None:
    path = api.upload(owner='p2')
    image_id = path.rpartition('/')[2]
    assert api.get(path.upper().replace('V2/IMAGES', 'v2/images')).json['id'] == image_id
    assert api.call('DELETE', path, caller=OWNER).status_int == 204
    for caller in (OWNER, STRANGER, None):
        for spelling in (image_id, image_id.upper()):
            answer = api.call('POST', '/v2/images', {'id': spelling}, caller=caller)
            assert error(answer) == (409, 'image_exists')
        assert error(api.get(path, caller=caller)) == NOT_THERE


@pytest.mark.parametrize('accept', ['text/html', '*/*', 'text/html, text/plain;q=0.1', None])
def test_f24_what_users_write_is_never_served_as_a_page(api: Api, accept: str | None) -> None:
    script = '<script>alert(1)</script>'
    headers = {'Accept': accept} if accept else {}
    path = api.upload(script.encode(), name=script, markup=script, tags=[script])
    for answer in (
        api.get(path, headers=headers),
        api.get('/v2/images', headers=headers),
        api.get(path + '/file', headers=headers),
        api.get('/v2/images/' + script, headers=headers),
        api.get('/v2/images?sort_key=' + script, headers=headers),
        api.call('POST', '/v2/images', {'visibility': script}, headers),
        api.call('PATCH', path, replace(script, script), headers),
    ):
        assert answer.content_type in ('application/json', 'text/plain', OCTETS), answer.body
        assert script not in str(answer.headers)


def test_f26_an_upload_that_began_with_a_valid_token_ends_without_one(api: Api) -> None:
    """The caller is asked for once; what follows is done with the rights found then."""
    asked: list[str] = []
    known = identify_by_keystone(allow_anonymous=False)

    def identify(environ: dict[str, object], request_id: str) -> object:
        asked.append(request_id)
        return known(environ, request_id)

    api.app = deploy.loadapp(api.services.conf, api.services, identify)
    valid = {'X-Identity-Status': 'Confirmed', 'X-Project-Id': 'p2', 'X-Roles': 'member,reader'}
    made = api.call('POST', '/v2/images', FORMATS, valid)
    path = f"/v2/images/{made.json['id']}"

    class Slow:
        """A body during which the token ends."""

        parts = [b'a', b'b', b'']

        def read(self, size: int) -> bytes:
            valid['X-Identity-Status'] = 'Invalid'
            return self.parts.pop(0)

    request = webob.Request.blank(path + '/file', method='PUT', headers=valid | {})
    request.environ.update({'wsgi.input': Slow(), 'CONTENT_LENGTH': '2', 'CONTENT_TYPE': OCTETS})
    asked.clear()
    assert request.get_response(api.app).status_int == 204
    assert len(asked) == 1
    assert error(api.get(path, headers=valid)) == (401, 'unauthorized')


def test_f31_nobody_chooses_where_requests_or_tokens_are_sent(api: Api) -> None:
    """Names that begin with os_glance are the service's, on every way in."""
    path = api.create(owner='p2')
    for name, caller in itertools.product(
        ('os_glance_stage_host', 'os_glance_import_task', 'os_glance', 'os_glance_x'),
        (None, OWNER),
    ):
        value = 'http://169.254.169.254'
        assert error(api.call('POST', '/v2/images', {name: value}, caller=caller)) == FORBIDDEN
        for op, media in itertools.product(('add', 'replace', 'remove'), (None, PATCH_2_0)):
            change = [{op: f'/{name}', 'value': value}] if media else replace(name, value, op)
            headers = {'Content-Type': media} if media else {}
            answer = api.call('PATCH', path, change, headers, caller)
            assert error(answer) == FORBIDDEN, answer.body
    assert not [name for name in api.get(path).json if name.startswith('os_glance')]


@pytest.mark.parametrize('op', ['add', 'replace', 'remove'])
@pytest.mark.parametrize('media', [None, PATCH_2_0])
def test_f32_only_an_administrator_gives_an_image_away(
    api: Api, op: str, media: str | None
) -> None:
    path = api.create(owner='p2')
    for owner in ('p3', None, ''):
        change = [{op: '/owner', 'value': owner}] if media else replace('owner', owner, op)
        headers = {'Content-Type': media} if media else {}
        answer = api.call('PATCH', path, change, headers, OWNER)
        # to the draft, add is for what is not there yet
        assert error(answer) in (FORBIDDEN, (409, 'conflict') if media and op == 'add' else ())
        assert error(api.call('POST', '/v2/images', {'owner': owner}, caller=OWNER)) == FORBIDDEN
    if op == 'replace':
        answer = api.call('PATCH', path, replace('owner', 'p3'))
        assert answer.json['owner'] == 'p3'
        assert error(api.get(path, caller=OWNER)) == NOT_THERE
    assert api.get(path).json['owner'] == ('p3' if op == 'replace' else 'p2')


def test_f33_a_request_takes_no_more_memory_than_its_limit(make_api: Callable[..., Api]) -> None:
    api = make_api('[DEFAULT]\nmax_json_body_size = 1024\n')
    path = api.create(**FORMATS)

    class Endless:
        """Counts what is read of a body without an end."""

        taken = 0

        def read(self, size: int) -> bytes:
            assert 0 < size <= 1 << 20
            self.taken += size
            return b'[' * size

    for method, part in (('POST', ''), ('PATCH', path), ('POST', path + '/import')):
        body = Endless()
        request = webob.Request.blank(part or '/v2/images', method=method)
        request.content_type = 'application/openstack-images-v2.1-json-patch'
        request.environ.update(
            {'wsgi.input': body, 'HTTP_TRANSFER_ENCODING': 'chunked', 'wsgi.input_terminated': True}
        )
        assert error(request.get_response(api.app)) == (413, 'limit_exceeded')
        assert body.taken <= 1 << 14
    headers = {'x-openstack-request-id': 'x' * 65}
    assert error(api.get(path, headers=headers)) == (431, 'header_too_long')


def test_f34_a_project_has_no_more_images_and_imports_than_it_may(
    make_api: Callable[..., Api],
) -> None:
    api = make_api('[DEFAULT]\nproject_image_quota = 3\n[import]\nmax_unfinished_per_project = 2\n')
    paths = [api.create(OWNER, **FORMATS) for _ in range(3)]
    answer = api.call('POST', '/v2/images', FORMATS, caller=OWNER)
    assert error(answer) == (413, 'limit_exceeded')
    assert '3 images' in answer.json['error']['message']
    api.create(STRANGER)  # others have places of their own
    body = {'method': {'name': 'glance-direct'}}
    answers = []
    for path in paths:
        assert api.call('PUT', path + '/stage', b'data', caller=OWNER).status_int == 204
        answers.append(api.call('POST', path + '/import', body, caller=OWNER))
    assert [answer.status_int for answer in answers] == [202, 202, 413]
    assert '2 imports' in answers[2].json['error']['message']
    assert api.get(paths[2]).json['status'] == 'uploading'
    assert api.call('DELETE', paths[0], caller=OWNER).status_int == 204
    deploy.load_conductor(api.services.conf, api.services).run_pending()
    assert api.call('POST', paths[2] + '/import', body, caller=OWNER).status_int == 202
    api.create(OWNER)


def test_f25_a_token_is_neither_kept_nor_logged_nor_told(
    api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a source sees of a request is in ``test_security_data.py``."""
    secret = 'gAAAAAB-a-token-that-nobody-else-may-see'
    headers = {'X-Auth-Token': secret, 'X-Service-Token': secret}
    with caplog.at_level(logging.DEBUG):
        path = api.stage()
        body = {'method': {'name': 'glance-direct'}}
        answers = [
            api.call('POST', path + '/import', body, headers),
            api.get(path + '/tasks', headers=headers),
            api.get('/v2/images/x', headers=headers),
            api.call('POST', '/v2/images', b'{' + secret.encode(), headers),
        ]
        deploy.load_conductor(api.services.conf, api.services).run_pending()
    assert api.get(path).json['status'] == 'active'
    told = ''.join(str(answer.headers) + answer.text for answer in answers)
    assert secret not in told + caplog.text
    files = [file.read_bytes() for file in tmp_path.rglob('*') if file.is_file()]
    assert files and not any(secret.encode() in content for content in files)
