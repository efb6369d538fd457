# SPDX-License-Identifier: Apache-2.0
"""Upload, stage and download: right ones, refused ones, and ones that break off."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
import webob
from oslo_db.exception import DBConnectionError

from glance_lite import exceptions
from glance_lite.db import images, removals, staged, uploads
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain
from glance_lite.testing.images import write_qcow2

from .conftest import FORMATS, OCTETS, Api, error

DATA = b'some image data, not very long' * 100


class Broken:
    """A client that leaves in the middle; ``at_end`` runs before it does."""

    def __init__(self, at_end: Any = None, failure: Exception | None = None) -> None:
        self._parts = [b'x' * 1000]
        self._at_end = at_end
        self._failure = failure

    def read(self, size: int) -> bytes:
        if self._parts:
            return self._parts.pop()
        if self._at_end is not None:
            self._at_end()
        if self._failure is not None:
            raise self._failure
        return b''


def put(api: Api, path: str, source: Any, length: int | None) -> webob.Response:
    request = webob.Request.blank(path, method='PUT', content_type=OCTETS)
    request.environ['wsgi.input'] = source
    if length is None:
        request.environ.pop('CONTENT_LENGTH', None)
        request.environ['HTTP_TRANSFER_ENCODING'] = 'chunked'
        request.environ['wsgi.input_terminated'] = True
    else:
        request.environ['CONTENT_LENGTH'] = str(length)
    return request.get_response(api.app)


def assert_as_before(api: Api, path: str) -> None:
    image = api.get(path).json
    assert (image['status'], image['size'], image['checksum']) == ('queued', None, None)
    assert api.stored_files() == [] and api.staged_files() == []


def test_an_upload_makes_an_image_active(api: Api) -> None:
    path = api.upload(DATA)
    image = api.get(path).json
    assert image['status'] == 'active' and image['stores'] == 'fast'
    assert (image['size'], image['checksum']) == (len(DATA), hashlib.md5(DATA).hexdigest())
    assert image['os_hash_algo'] == 'sha512'
    assert image['os_hash_value'] == hashlib.sha512(DATA).hexdigest()
    answer = api.get(path + '/file')
    assert answer.body == DATA
    assert answer.headers['Content-MD5'] == image['checksum']
    assert answer.headers['Content-Type'] == OCTETS
    assert answer.content_length == len(DATA)


def test_an_upload_goes_to_the_chosen_store(api: Api) -> None:
    path = api.create(**FORMATS)
    answer = api.call('PUT', path + '/file', DATA, {'X-Image-Meta-Store': 'cold'})
    assert answer.status_int == 204
    assert api.get(path).json['stores'] == 'cold'


def test_chunked_and_empty_bodies(api: Api) -> None:
    path = api.create(**FORMATS)
    assert put(api, path + '/file', io.BytesIO(DATA), None).status_int == 204
    assert api.get(path + '/file').body == DATA
    empty = api.create(**FORMATS)
    assert api.call('PUT', empty + '/file', b'').status_int == 204
    assert api.get(empty).json['size'] == 0
    assert api.get(empty + '/file').body == b''


def test_staging_keeps_the_data_for_an_import(api: Api) -> None:
    path = api.stage(DATA)
    image = api.get(path).json
    assert (image['status'], image['size'], image['checksum']) == ('uploading', len(DATA), None)
    assert len(api.staged_files()) == 1 and api.stored_files() == []
    with api.services.db.reader() as session:
        found = staged.get(session, image['id'])
    assert found is not None
    assert found.facts['os_hash_value'] == hashlib.sha512(DATA).hexdigest()
    assert Path(api.services.staging.path(found.file_name)).read_bytes() == DATA
    assert api.get(path + '/file').status_int == 204


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
@pytest.mark.parametrize(
    ('headers', 'expected'),
    [
        ({'Content-Type': 'text/plain'}, (415, 'unsupported_media_type')),
        ({'Content-Type': ''}, (415, 'unsupported_media_type')),
        ({'x-openstack-image-size': '5'}, (400, 'invalid_request')),
        ({'x-openstack-image-size': 'many'}, (400, 'invalid_request')),
        ({'x-openstack-image-size': '-1'}, (400, 'invalid_request')),
        ({'Content-Length': 'x'}, (400, 'invalid_request')),
    ],
)
def test_headers_that_refuse_a_body(
    api: Api, suffix: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    path = api.create(**FORMATS)
    assert error(api.call('PUT', path + suffix, DATA, headers)) == expected
    assert_as_before(api, path)


def test_an_unknown_store_and_missing_formats_refuse_an_upload(api: Api) -> None:
    path = api.create(**FORMATS)
    answer = api.call('PUT', path + '/file', DATA, {'X-Image-Meta-Store': 'nope'})
    assert error(answer) == (400, 'invalid_request')
    assert_as_before(api, path)
    bare = api.create(container_format='bare')
    answer = api.call('PUT', bare + '/file', DATA)
    assert error(answer) == (400, 'invalid_request')
    assert 'disk_format must be set' in answer.json['error']['message']


def test_a_store_that_is_only_read_refuses_an_upload(api: Api) -> None:
    api.services.stores.get('cold').read_only = True
    path = api.create(**FORMATS)
    answer = api.call('PUT', path + '/file', DATA, {'X-Image-Meta-Store': 'cold'})
    assert error(answer) == (400, 'invalid_request')
    assert answer.json['error']['message'] == 'X-Image-Meta-Store: the store cold is read-only.'
    assert_as_before(api, path)


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
def test_data_is_taken_once(api: Api, suffix: str) -> None:
    for path in (api.upload(DATA), api.stage(DATA)):
        before = api.get(path).json
        assert error(api.call('PUT', path + suffix, DATA)) == (409, 'status_conflict')
        assert api.get(path).json == before


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
def test_too_much_data_is_refused_whether_announced_or_not(make_api: Any, suffix: str) -> None:
    api = make_api('[DEFAULT]\nimage_size_cap = 1000\n')
    path = api.create(**FORMATS)
    assert error(api.call('PUT', path + suffix, DATA)) == (413, 'limit_exceeded')
    assert_as_before(api, path)
    assert error(put(api, path + suffix, io.BytesIO(DATA), None)) == (413, 'limit_exceeded')
    assert_as_before(api, path)
    assert api.call('PUT', path + suffix, DATA[:1000]).status_int == 204


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
@pytest.mark.parametrize(
    'source',
    [
        Broken(failure=ConnectionResetError('reset')),
        Broken(failure=TimeoutError('slow')),
        Broken(failure=ValueError('bad chunk')),
        Broken(),
    ],
)
def test_a_client_that_leaves_can_come_back(api: Api, suffix: str, source: Broken) -> None:
    path = api.create(**FORMATS)
    source._parts = [b'x' * 1000]
    assert put(api, path + suffix, source, 5000).status_int == 400
    assert_as_before(api, path)
    assert api.call('PUT', path + suffix, DATA).status_int == 204


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
def test_an_image_deleted_under_an_upload_leaves_nothing(api: Api, suffix: str) -> None:
    path = api.create(**FORMATS)
    source = Broken(at_end=lambda: api.call('DELETE', path))
    assert error(put(api, path + suffix, source, None)) == (410, 'gone')
    assert error(api.get(path)) == (404, 'image_not_found')
    assert api.stored_files() == [] and api.staged_files() == []


def test_an_upload_that_others_ended_says_so_when_its_data_is_gone(api: Api) -> None:
    path = api.create(**FORMATS)
    image_id = path.rpartition('/')[2]

    def give_up() -> None:
        with api.services.db.writer() as session:
            ((found, token),) = uploads.list_silent(session, -1000)
            assert found == image_id and uploads.end(session, found, token)
            images.update(session, image_id, from_status=domain.SAVING, status=domain.QUEUED)
        api.services.stores.default.discard_attempts(image_id)

    answer = put(api, path + '/file', Broken(at_end=give_up), None)
    assert error(answer) == (409, 'status_conflict') and 'send the data again' in answer.text
    assert_as_before(api, path)


class Unsteady(Database):
    """A database whose next transaction is lost, or done without an answer, when told so."""

    trouble: str | None = None

    def transact(self, work: Any, **options: Any) -> Any:
        trouble, self.trouble = self.trouble, None
        if trouble == 'before':
            raise DBConnectionError('lost')
        done = super().transact(work, **options)
        if trouble == 'after':
            raise DBConnectionError('no answer')
        return done


def with_trouble(api: Api, path: str, when: str) -> webob.Response:
    """Send data whose last transaction meets with trouble."""
    db = api.services.db = Unsteady(api.services.db.engine)
    return put(api, path, Broken(at_end=lambda: setattr(db, 'trouble', when)), None)


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
def test_data_stays_if_only_the_answer_of_the_database_was_lost(api: Api, suffix: str) -> None:
    path = api.create(**FORMATS)
    assert with_trouble(api, path + suffix, 'after').status_int == 204
    if suffix == '/file':
        assert api.get(path + '/file').body == b'x' * 1000
    else:
        assert api.get(path).json['status'] == 'uploading' and len(api.staged_files()) == 1


@pytest.mark.parametrize('suffix', ['/file', '/stage'])
def test_nothing_stays_if_the_database_did_not_take_it(api: Api, suffix: str) -> None:
    path = api.create(**FORMATS)
    assert with_trouble(api, path + suffix, 'before').status_int >= 500
    assert_as_before(api, path)
    assert api.call('PUT', path + suffix, DATA).status_int == 204


def test_an_upload_that_was_given_up_leaves_a_note_where_its_store_is_away(
    api: Api, tmp_path: Path
) -> None:
    path = api.create(**FORMATS)

    class Leaving(Database):
        def transact(self, work: Any, **options: Any) -> Any:
            try:
                return super().transact(work, **options)
            except exceptions.Gone:
                (tmp_path / 'fast').rename(tmp_path / 'away')
                raise

    api.services.db = Leaving(api.services.db.engine)
    source = Broken(at_end=lambda: api.call('DELETE', path))
    assert error(put(api, path + '/file', source, None)) == (410, 'gone')
    (tmp_path / 'away').rename(tmp_path / 'fast')
    with api.services.db.reader() as session:
        urls = [note.url for note in removals.list_all(session) if note.url]
    assert [os.path.basename(url) for url in urls] == api.stored_files()


def test_content_that_is_not_as_declared_is_refused_and_may_be_corrected(
    api: Api, tmp_path: Path
) -> None:
    path = api.create(disk_format='qcow2', container_format='bare')
    assert error(api.call('PUT', path + '/file', DATA)) == (415, 'format_mismatch')
    assert_as_before(api, path)
    unsafe = write_qcow2(tmp_path / 'unsafe', backing_file='/etc/passwd').read_bytes()
    assert error(api.call('PUT', path + '/file', unsafe)) == (415, 'unsafe_image')
    assert_as_before(api, path)
    good = write_qcow2(tmp_path / 'good').read_bytes()
    assert api.call('PUT', path + '/file', good).status_int == 204
    image = api.get(path).json
    assert image['status'] == 'active' and image['virtual_size'] > 0


def test_a_full_disk_refuses_and_leaves_the_image_queued(make_api: Any) -> None:
    api = make_api(f'[DEFAULT]\nimage_size_cap = {1 << 60}\n')
    path = api.create(**FORMATS)
    answer = put(api, path + '/file', io.BytesIO(b''), 1 << 59)
    assert error(answer) == (413, 'no_space')
    assert_as_before(api, path)


def test_staging_exists_only_with_its_method(make_api: Any) -> None:
    api = make_api('[DEFAULT]\nenabled_import_methods = [web-download]\n')
    path = api.create(**FORMATS)
    assert error(api.call('PUT', path + '/stage', DATA)) == (404, 'not_supported_here')
    assert_as_before(api, path)


@pytest.mark.parametrize(
    ('value', 'first', 'last'),
    [
        ('bytes=0-9', 0, 9),
        ('bytes=10-', 10, len(DATA) - 1),
        ('bytes=-5', len(DATA) - 5, len(DATA) - 1),
        ('bytes=0-999999999', 0, len(DATA) - 1),
        ('bytes=-999999999', 0, len(DATA) - 1),
        (' BYTES = 1-1 ', 1, 1),
    ],
)
def test_ranges(api: Api, value: str, first: int, last: int) -> None:
    path = api.upload(DATA)
    answer = api.get(path + '/file', headers={'Range': value})
    assert answer.status_int == 206
    assert answer.body == DATA[first : last + 1]
    assert answer.headers['Content-Range'] == f'bytes {first}-{last}/{len(DATA)}'


@pytest.mark.parametrize(
    'value',
    [
        'bytes=5-1',
        'bytes=99999999-',
        'bytes=-0',
        'bytes=-',
        'lines=1-2',
        'bytes=a-b',
        '',
        'x',
        'bytes=99999999999999999999999999-',
        'bytes=\xb2-',
    ],
)
def test_ranges_that_cannot_be_sent(api: Api, value: str) -> None:
    path = api.upload(DATA)
    answer = api.get(path + '/file', headers={'Range': value})
    assert error(answer) == (416, 'range_not_satisfiable')
    assert answer.headers['Content-Range'] == f'bytes */{len(DATA)}'


def test_several_ranges_and_the_older_header(api: Api) -> None:
    path = api.upload(DATA)
    answer = api.get(path + '/file', headers={'Range': 'bytes=0-1,3-4'})
    assert error(answer) == (400, 'invalid_request')
    answer = api.get(path + '/file', headers={'Content-Range': f'bytes 2-3/{len(DATA)}'})
    assert (answer.status_int, answer.body) == (206, DATA[2:4])


def test_a_file_goes_out_by_the_wrapper_of_the_server(api: Api) -> None:
    given: list[Any] = []

    def wrapper(filelike: Any, block_bytes: int) -> Any:
        given.append(filelike)
        return iter(lambda: filelike.read(block_bytes), b'')

    def get(range_header: str | None, wrapper: Any) -> bytes:
        request = webob.Request.blank(path + '/file')
        request.environ['wsgi.file_wrapper'] = wrapper
        if range_header:
            request.headers['Range'] = range_header
        return request.get_response(api.app).body

    path = api.upload(DATA)
    assert get(None, wrapper) == DATA
    assert (given[0].fileno() > 0, given[0].offset, given[0].length) == (True, 0, len(DATA))
    assert get('bytes=5-6', wrapper) == DATA[5:7]
    assert len(given) == 1  # this wrapper knows no parts
    wrapper.extent = None
    assert get('bytes=5-6', wrapper) == DATA[5:7]
    assert (given[1].offset, given[1].length) == (5, 2)


def test_data_that_is_gone_or_short_is_never_sent_as_if_it_were_whole(api: Api) -> None:
    path = api.upload(DATA)
    stored = Path(next(iter(api.services.stores)).directory) / api.stored_files()[0]
    stored.write_bytes(DATA[:50])
    assert error(api.get(path + '/file')) == (503, 'store_failed')
    stored.unlink()
    answer = api.get(path + '/file')
    assert error(answer) == (503, 'store_failed')
    assert str(stored.parent) not in answer.text


def test_another_copy_is_used_when_one_is_gone(api: Api) -> None:
    path = api.upload(DATA)
    image_id = path.rpartition('/')[2]
    cold = api.services.stores.get('cold')
    writer = cold.open_writer(image_id, 'other')
    writer.write(memoryview(DATA))
    copy = domain.Location('cold', writer.commit().url)
    with api.services.db.writer() as session:
        places = images.get(session, image_id).locations
        images.set_locations(session, image_id, [*places, copy])
    assert api.get(path + '/file').body == DATA
    api.services.stores.get('fast').delete(places[0].url)
    assert api.get(path + '/file').body == DATA
    assert api.get(path + '/file?prefer=fast,cold').body == DATA
    assert error(api.get(path + '/file?prefer=nope')) == (400, 'invalid_request')


@pytest.mark.parametrize(('weights', 'first'), [((0, 0), 'fast'), ((1, 2), 'cold')])
def test_the_direct_url_is_that_of_the_store_of_most_weight(
    make_api: Any, weights: tuple[int, int], first: str
) -> None:
    fast, cold = weights
    api = make_api(
        f'[fast]\nweight = {fast}\n[cold]\nweight = {cold}\n'
        '[DEFAULT]\nshow_image_direct_url = True\n'
    )
    path = api.upload(DATA)
    assert '/fast/' in api.get(path).json['direct_url']
    image_id = path.rpartition('/')[2]
    with api.services.db.writer() as session:
        places = images.get(session, image_id).locations
        images.set_locations(
            session, image_id, [*places, domain.Location('cold', 'file:///cold/x')]
        )
    assert f'/{first}/' in api.get(path).json['direct_url']
    assert f'/{first}/' in api.get('/v2/images').json['images'][0]['direct_url']


def test_a_deactivated_image_is_for_administrators(api: Api) -> None:
    path = api.upload(DATA, visibility='public')
    with api.services.db.writer() as session:
        images.update(session, path.rpartition('/')[2], status=domain.DEACTIVATED)
    assert error(api.get(path + '/file', caller='p2:member,reader')) == (403, 'forbidden')
    assert api.get(path + '/file').body == DATA
