# SPDX-License-Identifier: Apache-2.0
"""Locations changed by PATCH: what it does, what a conductor makes of it, and what is refused."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from glance_lite.db import models
from tests.origin import PERMIT, Origin

from .conftest import FORMATS, Api, error
from .test_copy_image import run
from .test_locations import store_path

DATA = random.Random(5).randbytes(200_000)
OTHER = random.Random(6).randbytes(200_000)
STORES = 'fast:file, cold:file, web:http'
SHOWN = '[DEFAULT]\nshow_multiple_locations = True\n'
MEMBER, SERVICE, READER = 'p1:member,reader', 'services:service,member', 'p1:reader'
OLD = 'application/openstack-images-v2.0-json-patch'


@pytest.fixture(scope='module')
def served() -> Iterator[Origin]:
    with Origin.serving() as origin:
        yield origin


@pytest.fixture
def origin(served: Origin) -> Origin:
    served.asked.clear()
    return served


@pytest.fixture
def make(make_api: Callable[..., Api]) -> Callable[..., Api]:
    return lambda extra=SHOWN, stores=STORES: make_api(PERMIT + extra, stores=stores)


@pytest.fixture
def api(make: Callable[..., Api]) -> Api:
    return make()


def at(url: str, **more: Any) -> dict[str, Any]:
    return {'url': url, 'metadata': {}, **more}


def add(location: Any, place: str = '-') -> dict[str, Any]:
    return {'op': 'add', 'path': f'/locations/{place}', 'value': location}


def replace(*locations: Any) -> dict[str, Any]:
    return {'op': 'replace', 'path': '/locations', 'value': list(locations)}


def remove(place: int) -> dict[str, Any]:
    return {'op': 'remove', 'path': f'/locations/{place}'}


def patch(api: Api, path: str, *changes: Any, **kwargs: Any) -> Any:
    return api.call('PATCH', path, list(changes), **kwargs)


def hashes(data: bytes, algo: str = 'sha512') -> dict[str, str]:
    return {'os_hash_algo': algo, 'os_hash_value': hashlib.new(algo, data).hexdigest()}


def urls(api: Api, path: str) -> list[str]:
    return [place['url'] for place in api.get(path).json['locations']]


def last_task(api: Api, path: str) -> Any:
    return api.get(path + '/tasks').json['tasks'][-1]


def located(api: Api, origin: Origin, data: bytes = DATA) -> tuple[str, str]:
    """Return path and URL of an image whose only data lies elsewhere, looked at already."""
    path, url = api.create(**FORMATS), origin.publish(data)
    assert patch(api, path, add(at(url))).status_int == 200
    assert run(api) == 1
    return path, url


def test_a_queued_image_is_active_at_once(api: Api, origin: Origin) -> None:
    path, url = api.create(**FORMATS), origin.publish(DATA)
    assert api.get(path).json['locations'] == []
    answer = patch(api, path, add(at(url, metadata={'speed': 'fast'})), caller=MEMBER)
    image = answer.json
    assert (answer.status_int, image['status'], image['size']) == (200, 'active', len(DATA))
    place = {'url': url, 'metadata': {'speed': 'fast', 'store': 'web'}}
    assert image['locations'] == [place] and image['stores'] == 'web'
    assert image['os_glance_import_task'] == last_task(api, path)['id']
    assert api.get(path + '/file').body == DATA
    assert run(api) == 1
    image, task = api.get(path).json, last_task(api, path)
    assert (image['checksum'], image['os_hash_value']) == (
        hashlib.md5(DATA).hexdigest(),
        hashes(DATA)['os_hash_value'],
    )
    assert image['locations'] == [place] and 'os_glance_import_task' not in image
    assert (task['type'], task['status'], task['input']['loc_urls']) == (
        'location_import',
        'success',
        [url],
    )
    phases = [phase['phase'] for phase in task['progress']['phases']]
    assert phases == ['confirm-claim', 'check-locations']
    assert api.stored_files() == []


@pytest.mark.parametrize(
    'change',
    [
        lambda url: [{'op': 'replace', 'path': '/locations', 'value': [at(url)]}],
        lambda url: [{'op': 'add', 'path': '/locations', 'value': [at(url)]}],
        lambda url: [add(at(url), '0')],
        lambda url: [{'op': 'add', 'path': '/blue', 'value': 'sky'}, add({'url': url})],
    ],
)
def test_the_ways_to_give_a_location(api: Api, origin: Origin, change: Any) -> None:
    path, url = api.create(**FORMATS), origin.publish(DATA)
    assert patch(api, path, *change(url)).json['status'] == 'active'
    assert urls(api, path) == [url]


def test_the_older_patch_language(api: Api, origin: Origin) -> None:
    path, url = api.create(**FORMATS), origin.publish(DATA)
    headers = {'Content-Type': OLD}
    answer = patch(api, path, {'add': '/locations', 'value': [at(url)]}, headers=headers)
    assert error(answer) == (409, 'conflict')
    answer = patch(api, path, {'add': '/locations/-', 'value': at(url)}, headers=headers)
    assert answer.json['status'] == 'active'


def test_hashes_that_are_given(api: Api, origin: Origin) -> None:
    path, url = api.create(**FORMATS), origin.publish(DATA)
    data = {**hashes(DATA), 'checksum': hashlib.md5(DATA).hexdigest()}
    image = patch(api, path, add(at(url, validation_data=data))).json
    assert {name: image[name] for name in data} == data
    assert run(api) == 1
    assert api.get(path).json['status'] == 'active'
    again = [add(at(origin.publish(DATA), validation_data=data))]
    assert patch(api, path, *again).status_int == 200
    run(api)
    other = [add(at(origin.publish(DATA), validation_data=hashes(OTHER)))]
    assert error(patch(api, path, *other)) == (409, 'conflict')


def test_an_image_whose_data_is_not_as_was_said_is_taken_out_of_service(
    api: Api, origin: Origin
) -> None:
    path, url = api.create(**FORMATS), origin.publish(DATA)
    patch(api, path, add(at(url, validation_data=hashes(OTHER))))
    assert run(api) == 1
    image, task = api.get(path).json, last_task(api, path)
    assert (image['status'], task['status']) == ('deactivated', 'failure')
    assert task['error']['code'] == 'checksum_mismatch'
    assert image['os_glance_import_error'].startswith('checksum_mismatch: ')
    assert api.get(path + '/file', caller=MEMBER).status_int == 403


def test_the_same_is_so_of_content_that_is_not_as_declared(api: Api, origin: Origin) -> None:
    path = api.create(disk_format='qcow2', container_format='bare')
    patch(api, path, add(at(origin.publish(DATA))))
    assert run(api) == 1
    image = api.get(path).json
    assert image['status'] == 'deactivated'
    assert image['os_glance_import_error'].startswith('format_mismatch: ')


@pytest.mark.parametrize('given', [None, hashes(DATA)])
def test_a_source_that_goes_away(api: Api, origin: Origin, given: Any) -> None:
    """An image may be without a hash; it may not have one that nobody compared."""
    path, url = api.create(**FORMATS), origin.publish(DATA)
    patch(api, path, add(at(url) if given is None else at(url, validation_data=given)))
    origin.published.clear()
    assert run(api) == 1
    image = api.get(path).json
    assert image['status'] == ('active' if given is None else 'deactivated')


def test_nobody_looks_where_no_secure_hash_is_wanted(
    make: Callable[..., Api], origin: Origin
) -> None:
    api = make(SHOWN + 'do_secure_hash = False\n')
    path, url = api.create(**FORMATS), origin.publish(DATA)
    image = patch(api, path, add(at(url, validation_data=hashes(OTHER)))).json
    assert (image['status'], image['os_hash_value']) == ('active', hashes(OTHER)['os_hash_value'])
    other = origin.publish(OTHER)
    assert patch(api, path, replace(at(other))).json['locations'][0]['url'] == other
    assert run(api) == 0 and api.get(path + '/tasks').json['tasks'] == []


def test_f_21_a_location_of_an_active_image_must_have_its_very_data(
    api: Api, origin: Origin
) -> None:
    path, url = located(api, origin)
    bad = origin.publish(OTHER)
    assert patch(api, path, add(at(bad), '0')).status_int == 200
    assert urls(api, path) == [bad, url]
    origin.asked.clear()
    assert api.get(path + '/file').body == DATA
    for change in ([remove(1)], [replace(at(bad))], [add(at(origin.publish(DATA)))]):
        assert error(patch(api, path, *change)) == (409, 'import_running')
    assert run(api) == 1
    image, task = api.get(path).json, last_task(api, path)
    assert (image['status'], urls(api, path)) == ('active', [url])
    assert (task['status'], task['error']['code']) == ('failure', 'checksum_mismatch')
    assert image['os_glance_import_error'].startswith('checksum_mismatch: ')
    assert api.get(path + '/file').body == DATA


def test_f_21_the_known_data_is_not_replaced_by_what_nobody_looked_at(
    api: Api, origin: Origin
) -> None:
    path, url = located(api, origin)
    same = origin.publish(DATA)
    assert error(patch(api, path, replace(at(same)))) == (409, 'conflict')
    assert error(patch(api, path, add(at(same)), remove(0))) == (409, 'conflict')
    assert patch(api, path, replace(at(same), at(url))).status_int == 200
    assert run(api) == 1 and urls(api, path) == [same, url]
    assert api.get(path).json['stores'] == 'web'
    assert patch(api, path, remove(1)).status_int == 200
    assert urls(api, path) == [same] and api.get(path + '/file').body == DATA


def test_other_sizes_are_refused_at_once(api: Api, origin: Origin) -> None:
    path, _ = located(api, origin)
    answer = patch(api, path, add(at(origin.publish(DATA + b'x'))))
    assert error(answer) == (400, 'invalid_request') and str(len(DATA)) in answer.text
    path = api.create(**FORMATS)
    answer = patch(api, path, replace(at(origin.publish(DATA)), at(origin.publish(b'x'))))
    assert error(answer) == (400, 'invalid_request')
    assert api.get(path).json['status'] == 'queued'


def test_an_image_without_a_hash_gets_one_to_compare_with(api: Api, origin: Origin) -> None:
    path, url = located(api, origin)
    with api.services.db.writer() as session:
        session.execute(models.images.update().values(os_hash_value=None, os_hash_algo=None))
    assert patch(api, path, add(at(origin.publish(OTHER)))).status_int == 200
    assert run(api) == 1
    assert urls(api, path) == [url]
    assert api.get(path).json['os_hash_value'] == hashes(DATA)['os_hash_value']


def test_metadata_of_locations_that_are_there(api: Api) -> None:
    path = api.upload(DATA)
    [place] = api.get(path).json['locations']
    assert place['url'].startswith('file://') and place['metadata'] == {'store': 'fast'}
    place['metadata']['rack'] = 3
    assert patch(api, path, replace(place)).json['locations'] == [place]
    assert api.get(path).json['locations'] == [place]
    assert api.get(path + '/file').body == DATA and api.get(path + '/tasks').json['tasks'] == []
    place['metadata']['store'] = 'cold'
    assert error(patch(api, path, replace(place))) == (400, 'invalid_request')


def test_data_of_a_removed_location_is_removed(api: Api, origin: Origin) -> None:
    path = api.upload(DATA)
    assert patch(api, path, add(at(origin.publish(DATA)))).status_int == 200
    assert run(api) == 1 and len(api.stored_files()) == 1
    assert patch(api, path, remove(0)).json['stores'] == 'web'
    assert api.stored_files() == [] and api.get(path + '/file').body == DATA


def test_f_13_the_last_location_stays(api: Api, origin: Origin) -> None:
    path, url = located(api, origin)
    for change in (remove(0), replace(), {'op': 'remove', 'path': '/locations'}):
        assert error(patch(api, path, change)) == (403, 'forbidden')
    assert urls(api, path) == [url] and api.get(path).json['status'] == 'active'


def test_f_08_only_schemes_of_a_list_are_taken(api: Api, origin: Origin) -> None:
    """However the scheme is written, and by whatever operation; nothing is read or deleted."""
    queued, (active, _) = api.create(**FORMATS), located(api, origin)
    before = api.get(active).json
    for url in ('file:///etc/passwd', 'FILE:///etc/passwd', 'filesystem:///etc/passwd',
                'swift+config://x/y', 'rbd://a/b/c/d', 'cinder://x', 'memory://fast/x',
                ' file:///etc/passwd', '//etc/passwd', 'foo:bar'):  # fmt: skip
        for path in (queued, active):
            for change in (add(at(url)), replace(at(url))):
                for caller in (None, MEMBER):
                    answer = patch(api, path, change, caller=caller)
                    assert error(answer) == (400, 'invalid_request'), url
    assert api.get(queued).json['status'] == 'queued' and api.get(active).json == before


def test_f_19_the_filter_of_downloads_judges_before_anything_is_asked(
    api: Api, origin: Origin
) -> None:
    path = api.create(**FORMATS)
    for url in ('http://10.0.0.1/x', 'http://169.254.169.254/x', 'https://[::1]/x', 'http:///x',
                'http://2130706433/', 'http://10.0.0.1#@203.0.113.1/'):  # fmt: skip
        assert error(patch(api, path, add(at(url)))) == (400, 'filtered_uri'), url
    answer = patch(api, path, add(at(origin.url.replace('//', '//me:secret@') + '/x')))
    assert error(answer) == (400, 'invalid_request') and b'secret' not in answer.body
    assert origin.asked == []


def test_whoever_may_not_change_locations_has_nothing_asked(api: Api, origin: Origin) -> None:
    url = origin.publish(DATA)
    path = api.create(**FORMATS)
    assert error(patch(api, path, add(at(url)), caller=READER)) == (403, 'forbidden')
    stranger = patch(api, path, add(at(url)), caller='p2:member,reader')
    assert error(stranger) == (404, 'image_not_found')
    active, _ = located(api, origin)
    origin.asked.clear()
    same = origin.publish(DATA)
    dropping = patch(api, active, replace(at(same)), caller=MEMBER)
    assert error(dropping) == (403, 'forbidden')
    assert error(patch(api, active, remove(0), caller=MEMBER)) == (403, 'forbidden')
    assert origin.asked == []


def test_f_23_trouble_of_a_source_is_told_without_what_it_said(api: Api, origin: Origin) -> None:
    path = api.create(**FORMATS)
    answer = patch(api, path, add(at(origin.url + '/none')))
    assert error(answer) == (400, 'invalid_request') and b'secret' not in answer.body
    assert api.get(path).json['status'] == 'queued'


BAD = [
    (None, 400), ([], 400), ('x', 400), ({}, 400), ({'url': 5}, 400), ({'url': ''}, 400),
    ({'url': 'http://203.0.113.1/\u0000'}, 400),
    ({'url': 'http://203.0.113.1/x', 'more': 1}, 400),
    ({'url': 'http://203.0.113.1/x', 'metadata': []}, 400),
    ({'url': 'http://203.0.113.1/x', 'metadata': {'a': 'x' * 5000}}, 400),
    ({'url': 'http://203.0.113.1/x', 'metadata': {'a': '\U0001f600'}}, 400),
    ({'url': 'http://203.0.113.1/x', 'metadata': {'store': 5}}, 400),
    ({'url': 'http://203.0.113.1/x', 'metadata': {'store': 'fast'}}, 400),
    ({'url': 'http://203.0.113.1/x', 'metadata': {'store': 'none'}}, 400),
    ({'url': 'http://203.0.113.1/x', 'validation_data': 'x'}, 400),
    ({'url': 'http://203.0.113.1/x', 'validation_data': {'os_hash_algo': 'sha512'}}, 400),
    ({'url': 'http://203.0.113.1/x', 'validation_data': {**hashes(b''), 'checksum': 'zz'}}, 400),
    ({'url': 'http://203.0.113.1/x', 'validation_data': {**hashes(b''), 'more': 'x'}}, 400),
    ({'url': 'http://203.0.113.1/x',
      'validation_data': {'os_hash_algo': 'sha512', 'os_hash_value': 'ab'}}, 400),
    ({'url': 'http://203.0.113.1/x', 'validation_data': hashes(b'', 'sha256')}, 409),
]  # fmt: skip


def test_a_location_that_is_wrong(api: Api) -> None:
    path = api.create(**FORMATS)
    for location, status in BAD:
        answers = [patch(api, path, change) for change in (add(location), replace(location))]
        assert [answer.status_int for answer in answers] == [status, status], location
    answer = patch(api, path, {'op': 'replace', 'path': '/locations', 'value': {}})
    assert error(answer) == (400, 'invalid_request')
    assert api.get(path).json['status'] == 'queued'


@pytest.mark.parametrize(
    ('op', 'pointer'),
    [
        ('add', '/locations/1'), ('add', '/locations/x'), ('add', '/locations/01'),
        ('add', '/locations/-1'), ('add', '/locations/9999999'), ('add', '/locations/'),
        ('add', '/locations/0/url'), ('replace', '/locations/0'), ('replace', '/locations/-'),
        ('remove', '/locations/-'), ('remove', '/locations/x'),
    ],
)  # fmt: skip
def test_a_pointer_that_is_wrong(api: Api, op: str, pointer: str) -> None:
    path = api.create(**FORMATS)
    change = {'op': op, 'path': pointer, 'value': at('http://203.0.113.1/x')}
    assert error(patch(api, path, change)) == (400, 'invalid_request')


def test_positions_are_those_that_there_are(api: Api, origin: Origin) -> None:
    path, url = located(api, origin)
    first = origin.publish(DATA)
    assert patch(api, path, add(at(first), '0')).status_int == 200
    assert run(api) == 1 and urls(api, path) == [first, url]
    assert error(patch(api, path, remove(2))) == (400, 'invalid_request')
    assert error(patch(api, path, add(at(url)))) == (400, 'invalid_request')  # twice


def test_the_image_must_be_queued_or_active(api: Api, origin: Origin) -> None:
    url = origin.publish(DATA)
    staged, deactivated = api.stage(), api.upload(DATA)
    api.call('POST', deactivated + '/actions/deactivate')
    for path in (staged, deactivated):
        for change in (add(at(url)), replace(at(url)), remove(0)):
            assert error(patch(api, path, change)) == (409, 'status_conflict')
    assert error(patch(api, api.create(**FORMATS), remove(0))) == (409, 'status_conflict')
    assert error(patch(api, api.create(), add(at(url)))) == (400, 'invalid_request')
    path = api.create()
    changes = [
        {'op': 'replace', 'path': f'/{name}', 'value': value} for name, value in FORMATS.items()
    ]
    assert patch(api, path, add(at(url)), *changes).json['status'] == 'active'


def test_the_quota(make: Callable[..., Api], origin: Origin) -> None:
    api = make(SHOWN + 'image_location_quota = 2\n')
    path = api.create(**FORMATS)
    places = [at(origin.publish(DATA)) for _ in range(3)]
    assert error(patch(api, path, replace(*places))) == (413, 'limit_exceeded')
    assert patch(api, path, replace(*places[:2])).status_int == 200
    assert run(api) == 1
    assert error(patch(api, path, add(places[2]))) == (413, 'limit_exceeded')


def test_each_location_counts_for_the_project(make: Callable[..., Api], origin: Origin) -> None:
    api = make(SHOWN + f'user_storage_quota = {len(DATA) * 5 // 2}\n')
    path = api.create(**FORMATS)
    places = [at(origin.publish(DATA)) for _ in range(3)]
    answer = patch(api, path, replace(*places))
    assert error(answer) == (413, 'limit_exceeded') and 'user_storage_quota' in answer.text
    assert api.get(path).json['status'] == 'queued'
    assert patch(api, path, replace(*places[:2])).status_int == 200
    assert run(api) == 1
    assert error(patch(api, path, add(places[2]))) == (413, 'limit_exceeded')
    assert patch(api, path, remove(0)).status_int == 200
    assert patch(api, path, add(places[2])).status_int == 200


def test_data_above_the_limit(make: Callable[..., Api], origin: Origin) -> None:
    api = make(SHOWN + 'image_size_cap = 1000\n')
    answer = patch(api, api.create(**FORMATS), add(at(origin.publish(DATA))))
    assert error(answer) == (413, 'limit_exceeded')


def test_locations_are_hidden_and_locked_by_default(make: Callable[..., Api]) -> None:
    api = make('')
    path = api.upload()
    assert 'locations' not in api.get(path).json
    for change in (add(at('http://203.0.113.1/x')), replace(), remove(0)):
        answer = patch(api, path, change)
        assert error(answer) == (403, 'forbidden')
        assert 'show_multiple_locations' in answer.json['error']['message']


def test_f_21_who_sees_locations(api: Api) -> None:
    path = api.upload(visibility='public')
    listed = api.get('/v2/images', caller=READER).json['images'][0]
    assert listed['locations'] == api.get(path, caller=READER).json['locations'] != []
    for shown in (
        api.get(path, caller='p2:member,reader').json,
        api.get('/v2/images', caller='p2:member,reader').json['images'][0],
    ):
        assert 'locations' not in shown and 'file://' not in str(shown)


def test_the_image_can_be_deleted_meanwhile(api: Api, origin: Origin) -> None:
    path = api.create(**FORMATS)
    patch(api, path, add(at(origin.publish(DATA))))
    assert error(api.call('DELETE', store_path(path, 'web'))) == (409, 'import_running')
    assert api.call('DELETE', path).status_int == 204
    assert run(api) == 1
    with api.services.db.reader() as session:
        for name in ('removals', 'jobs', 'flowdetails', 'image_locations'):
            assert session.exec_driver_sql(f'SELECT count(*) FROM {name}').scalar() == 0


class Died(BaseException):
    """The conductor is gone in this moment."""


def test_the_check_survives_its_conductor(api: Api, origin: Origin) -> None:
    path, url = located(api, origin)
    bad = origin.publish(OTHER)
    patch(api, path, add(at(bad)))
    web: Any = api.services.stores.get('web')
    open_reader = web.open_reader

    def die(*args: Any) -> Any:
        web.open_reader = open_reader
        raise Died

    web.open_reader = die
    with pytest.raises(Died):
        run(api)
    with api.services.db.writer() as session:
        session.execute(models.jobs.update().values(expires_ms=1))
    assert api.get(path + '/file').body == DATA
    assert run(api) == 1
    assert urls(api, path) == [url]


#: What a patch does, by which of the URLs, and where: of the same data, other data of the same
#: size, data of another size, and none.
KINDS = st.sampled_from(['same', 'again', 'other', 'short', 'none', 'file'])
OPERATIONS = st.one_of(
    st.tuples(st.just('add'), KINDS, st.sampled_from(['-', '0', '1', '7'])),
    st.tuples(st.just('remove'), st.none(), st.integers(0, 2)),
    st.tuples(st.just('replace'), st.lists(KINDS, max_size=3), st.booleans()),
    st.tuples(st.just('run'), st.none(), st.none()),
)


@hypothesis.settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(st.booleans(), st.lists(OPERATIONS, min_size=2, max_size=6))
def test_f_21_no_order_of_patches_changes_what_an_image_holds(
    api: Api, origin: Origin, uploaded: bool, operations: Any
) -> None:
    places = {
        'same': origin.publish(DATA),
        'again': origin.publish(DATA),
        'other': origin.publish(OTHER),
        'short': origin.publish(DATA[1:]),
        'none': origin.url + '/none',
        'file': 'file:///etc/passwd',
    }
    path = api.upload(DATA) if uploaded else located(api, origin)[0]
    for op, kind, where in operations:
        if op == 'run':
            run(api)
            continue
        if op == 'add':
            change = add(at(places[kind]), where)
        elif op == 'remove':
            change = remove(where)
        else:
            kept = [at(url) for url in urls(api, path)] if where else []
            change = replace(*kept, *(at(places[each]) for each in kind))
        assert patch(api, path, change).status_int in (200, 400, 403, 409), change
        answer = api.get(path + '/file')
        assert (answer.status_int, answer.body) == (200, DATA), change
    run(api)
    assert api.get(path).json['status'] == 'active'
    left = urls(api, path)
    assert left and len(set(left)) == len(left)
    assert not {places['other'], places['short'], places['none'], places['file']} & {*left}
    assert api.get(path + '/file').body == DATA
