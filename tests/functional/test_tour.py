# SPDX-License-Identifier: Apache-2.0
"""A tour with the clients that users have: what they do with images, and each step in its effect.

Alice and Bob are members of two projects of a real Keystone. What a client changed is looked up in
the API, not by that client. ``doc/source/user/clients.rst`` shows the table of all steps.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import glanceclient
import glanceclient.exc
import openstack
import pytest

from tests.functional.keystone import Caller, Keystone, keystone
from tests.functional.processes import wait_for
from tests.functional.service import LOCAL_SOURCES, Service, service
from tests.functional.sources import Source, source

DATA = os.urandom(500_000)
SHA512 = hashlib.sha512(DATA).hexdigest()
STORES = (
    '[DEFAULT]\nenabled_backends = fast:file, cold:file, web:http\nshow_multiple_locations = True\n'
    'project_image_quota = 1234\n'
)
FORMATS = {'disk_format': 'raw', 'container_format': 'bare'}
CLIENTS = ('openstack', 'glance', 'glanceclient', 'openstacksdk')
TABLE = Path(__file__).resolve().parents[2] / 'doc' / 'source' / 'user' / 'tour.csv'
LEAST_STEPS = 60

Step = Callable[[str, str], contextlib.AbstractContextManager[None]]


class Person(Caller):
    """Somebody who signed in, with the libraries in hand; the commands sign in by password."""

    def __init__(self, api: Service, identity: Keystone, name: str) -> None:
        super().__init__(api, identity.token(name), name, identity.auth_url)
        self.project = identity.id_of('project', {'alice': 'p1', 'bob': 'p2'}.get(name, 'admin'))
        self.cloud = openstack.connect(**self.credentials(), region_name='here')
        self.sdk = self.cloud.image
        self.lib = glanceclient.Client('2', session=self.cloud.session, region_name='here')

    def active(self, **values: Any) -> str:
        """Make an image with data; return its id."""
        image_id = self.create(**values)
        assert self.put(image_id, DATA, 'file').status_code == 204
        return image_id

    def succeeded(self, image_id: str) -> dict[str, Any]:
        """Wait for an import; return the image, whose bytes are the right ones."""
        task = self.wait(image_id)
        assert task['status'] == 'success', task
        assert self.sha512(image_id) == SHA512
        return self.image(image_id)

    def stores(self, image_id: str) -> set[str]:
        """Return the ids of the stores that have an image."""
        return set(self.image(image_id)['stores'].split(','))

    def members(self, image_id: str) -> dict[str, str]:
        """Return the members of an image and their answers."""
        found = self.request('GET', f'/v2/images/{image_id}/members').json()['members']
        return {each['member_id']: each['status'] for each in found}

    def listed(self, query: str = '') -> list[str]:
        """Return the ids that a listing has."""
        return [e['id'] for e in self.request('GET', f'/v2/images?{query}').json()['images']]

    def gone(self, image_id: str) -> bool:
        """Tell whether there is no such image."""
        return self.request('GET', f'/v2/images/{image_id}').status_code == 404


@pytest.fixture(scope='module')
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    with keystone(tmp_path_factory.mktemp('keystone')) as found:
        yield found


@pytest.fixture(scope='module')
def api(identity: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    extra = identity.authtoken() + LOCAL_SOURCES + STORES
    with service(tmp_path_factory.mktemp('api'), extra=extra) as found:
        with identity.listed(found.url):
            yield found


@pytest.fixture(scope='module')
def alice(api: Service, identity: Keystone) -> Person:
    return Person(api, identity, 'alice')


@pytest.fixture(scope='module')
def bob(api: Service, identity: Keystone) -> Person:
    return Person(api, identity, 'bob')


@pytest.fixture(scope='module')
def admin(api: Service, identity: Keystone) -> Person:
    return Person(api, identity, 'admin')


@pytest.fixture(scope='module')
def web() -> Iterator[Source]:
    with source(DATA) as found:
        yield found


@pytest.fixture(scope='module')
def disk(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp('disk') / 'disk.raw'
    path.write_bytes(DATA)
    return str(path)


@pytest.fixture(scope='module')
def made() -> list[tuple[str, str]]:
    """Return the steps that were made: the operation and the client."""
    return []


@pytest.fixture(scope='module')
def step(made: list[tuple[str, str]]) -> Step:
    """Return what a step is made in: it counts when nothing in the block failed."""

    @contextlib.contextmanager
    def block(client: str, operation: str) -> Iterator[None]:
        assert client in CLIENTS
        print(f'{len(made) + 1} {client}: {operation}')  # pytest shows it at a failure
        yield
        made.append((operation, client))

    return block


def test_looking_around(step: Step, alice: Person, admin: Person) -> None:
    shown = alice.request('GET', '/versions').json()['versions']
    versions = {each['id'].removeprefix('v'): each['status'] for each in shown}
    with step('glanceclient', 'versions'):
        assert alice.lib.versions.list() == shown
    with step('openstacksdk', 'versions'):
        (found,) = alice.cloud.image.get_all_version_data().values()
        (interface,) = found.values()
        told = {v['version']: v['status'] for v in interface['image']}
        assert told == versions
    methods = alice.request('GET', '/v2/info/import').json()['import-methods']['value']
    with step('openstack', 'import methods'):
        shown = alice.openstack('image', 'import', 'info', '-f', 'json')
        assert all(name in shown['import-methods'] for name in methods), shown
    with step('glance', 'import methods'):
        text = alice.glance('import-info')  # broken into lines of a table
        assert 'web-download' in text and 'copy-image' in text
    with step('glanceclient', 'import methods'):
        assert alice.lib.images.get_import_info()['import-methods']['value'] == methods
    with step('openstacksdk', 'import methods'):
        assert alice.sdk.get_import_info().import_methods['value'] == methods
    with step('openstack', 'stores'):
        shown = alice.openstack('image', 'stores', 'list', '-f', 'json')
        assert {each['ID'] for each in shown} == {'fast', 'cold', 'web'}
    with step('glance', 'stores'):
        assert all(name in alice.glance('stores-info') for name in ('fast', 'cold', 'read-only'))
    with step('glanceclient', 'stores'):
        stores = alice.lib.images.get_stores_info()['stores']
        assert [each['id'] for each in stores] == ['fast', 'cold', 'web']
    with step('glanceclient', 'stores in detail'):
        stores = admin.lib.images.get_stores_info_detail()['stores']
        assert {each['id']: each['type'] for each in stores}['web'] == 'http'
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.get_stores_info_detail()
    with step('openstacksdk', 'stores in detail'):
        (fast,) = (each for each in admin.sdk.stores(details=True) if each.id == 'fast')
        assert fast.is_default and fast.properties
        with pytest.raises(openstack.exceptions.ForbiddenException):
            list(alice.sdk.stores(details=True))
    with step('glance', 'schemas'):
        assert 'os_hash_value' in alice.glance('explain', 'image')
    with step('glanceclient', 'schemas'):
        for name in ('image', 'images', 'member', 'members', 'task', 'tasks'):
            assert alice.lib.schemas.get(name).raw()['name'] == name
    with step('openstacksdk', 'schemas'):
        assert 'os_hash_value' in alice.sdk.get_image_schema().properties
        assert 'status' in alice.sdk.get_member_schema().properties
        assert 'status' in alice.sdk.get_task_schema().properties
        for get in ('images', 'members', 'tasks'):
            assert get in getattr(alice.sdk, f'get_{get}_schema')().properties
    with step('glance', 'usage'):
        text = alice.glance('usage')
        assert 'image_count_total' in text and '1234' in text
    with step('glanceclient', 'usage'):
        before = alice.lib.info.get_usage()['image_count_total']
        alice.create()
        after = alice.lib.info.get_usage()['image_count_total']
        assert after == {'limit': 1234, 'usage': before['usage'] + 1}


def test_creating_and_uploading(step: Step, alice: Person, disk: str) -> None:
    everything = {'min_disk': 1, 'min_ram': 64, 'visibility': 'community', 'os_distro': 'debian'}

    def check(image_id: str, name: str, **more: Any) -> None:
        shown = alice.image(image_id)
        expected = {**FORMATS, **everything, 'tags': ['one', 'two'], 'name': name, **more}
        assert {key: shown[key] for key in expected} == expected
        assert shown['owner'] == alice.project

    chosen = str(uuid.uuid4())
    with step('openstack', 'create with a file and all options'):
        alice.openstack(
            'image', 'create', '--id', chosen, '--disk-format', 'raw', '--container-format', 'bare',
            '--min-disk', '1', '--min-ram', '64', '--community', '--protected', '--tag', 'one',
            '--tag', 'two', '--property', 'os_distro=debian', '--file', disk, 'osc-all',
        )  # fmt: skip
        check(chosen, 'osc-all', protected=True, status='active', os_hash_value=SHA512)
    chosen = str(uuid.uuid4())
    with step('glance', 'create with a file and all options'):
        alice.glance(
            'image-create', '--id', chosen, '--name', 'glance-all', '--disk-format', 'raw',
            '--container-format', 'bare', '--min-disk', '1', '--min-ram', '64', '--visibility',
            'community', '--hidden', 'True', '--tags', 'one', 'two', '--property',
            'os_distro=debian', '--store', 'cold', '--file', disk,
        )  # fmt: skip
        check(chosen, 'glance-all', os_hidden=True, status='active', stores='cold')
    with step('glanceclient', 'create with all options'):
        image = alice.lib.images.create(
            name='lib-all', **FORMATS, **everything, tags=['two', 'one'], os_hidden=True
        )
        check(image.id, 'lib-all', os_hidden=True, status='queued')
    with step('openstacksdk', 'create with a file and all options'):
        image = alice.sdk.create_image(
            'sdk-all', filename=disk, **FORMATS, **everything, is_protected=True,
            tags=['one', 'two'], validate_checksum=True,
        )  # fmt: skip
        check(image.id, 'sdk-all', protected=True, status='active', os_hash_value=SHA512)
    with step('openstacksdk', 'create'):
        image = alice.sdk.create_image('sdk-bare', **FORMATS)
        assert alice.image(image.id)['status'] == 'queued'
    with step('openstacksdk', 'upload'):
        image.data = DATA
        image.upload(alice.sdk)
        assert alice.sha512(image.id) == SHA512
    image_id = alice.create()
    with step('glance', 'upload to a store'):
        alice.glance('image-upload', '--file', disk, '--store', 'cold', image_id)
        assert (alice.stores(image_id), alice.sha512(image_id)) == ({'cold'}, SHA512)
    image_id = alice.create()
    with step('glanceclient', 'upload to a store'):
        with open(disk, 'rb') as file:
            alice.lib.images.upload(image_id, file, image_size=len(DATA), backend='cold')
        assert (alice.stores(image_id), alice.sha512(image_id)) == ({'cold'}, SHA512)


def test_importing_what_is_staged(step: Step, alice: Person, disk: str) -> None:
    def staged(image_id: str) -> None:
        assert alice.image(image_id)['status'] == 'uploading'
        assert any(image_id in name for name in alice.files('staging'))

    image_id = alice.create()
    with step('openstack', 'stage'):
        alice.openstack('image', 'stage', '--file', disk, image_id)
        staged(image_id)
    with step('openstack', 'import by glance-direct to several stores'):
        alice.openstack(
            'image', 'import', '--store', 'fast', 'cold', '--disallow-failure', image_id
        )
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    image_id = alice.create()
    with step('glance', 'stage'):
        alice.glance('image-stage', '--file', disk, image_id)
        staged(image_id)
    with step('glance', 'import by glance-direct to several stores'):
        alice.glance('image-import', '--stores', 'fast,cold', image_id)
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    image_id = alice.create()
    with step('glanceclient', 'stage'):
        with open(disk, 'rb') as file:
            alice.lib.images.stage(image_id, file)
        staged(image_id)
    with step('glanceclient', 'import by glance-direct to several stores'):
        alice.lib.images.image_import(image_id, stores=['cold', 'fast'])
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    image = alice.sdk.get_image(alice.create())
    with step('openstacksdk', 'stage'):
        alice.sdk.stage_image(image, filename=disk)
        staged(image.id)
    with step('openstacksdk', 'import by glance-direct to several stores'):
        alice.sdk.import_image(image, stores=['fast', 'cold'])
        alice.succeeded(image.id)
        assert alice.stores(image.id) == {'fast', 'cold'}
    with step('openstack', 'create by import of a file'):
        made = alice.openstack(
            'image', 'create', '--import', '--file', disk, '--disk-format', 'raw', '-f', 'json', 'i'
        )  # fmt: skip
        assert alice.succeeded(made['id'])['status'] == 'active'
    with step('openstacksdk', 'create by import of a file'):
        image = alice.sdk.create_image(
            'sdk-import', filename=disk, use_import=True, all_stores=True, **FORMATS
        )
        assert alice.succeeded(image.id)['status'] == 'active'


def test_importing_from_the_web(step: Step, alice: Person, web: Source) -> None:
    uri = web.url + '/disk'
    image_id = alice.create()
    with step('openstack', 'import by web-download'):
        alice.openstack(
            'image', 'import', '--method', 'web-download', '--store', 'cold', '--uri', uri, image_id
        )
        assert alice.succeeded(image_id)['stores'] == 'cold'
    image_id = alice.create()
    with step('glanceclient', 'import by web-download'):
        alice.lib.images.image_import(image_id, 'web-download', uri=uri)
        assert alice.succeeded(image_id)['status'] == 'active'
    image = alice.sdk.get_image(alice.create())
    with step('openstacksdk', 'import by web-download'):
        alice.sdk.import_image(image, 'web-download', uri=uri, store='cold')
        assert alice.succeeded(image.id)['stores'] == 'cold'
    with step('glance', 'create by import from the web'):
        alice.glance(
            'image-create-via-import', '--import-method', 'web-download', '--uri', uri, '--name',
            'glance-via', '--disk-format', 'raw', '--container-format', 'bare', '--stores', 'cold',
        )  # fmt: skip
        (image_id,) = alice.listed('name=glance-via')
        assert alice.succeeded(image_id)['stores'] == 'cold'
    with step('openstacksdk', 'create by import from the web'):
        image = alice.sdk.create_image(
            'sdk-via', **FORMATS, use_import=True, import_method='web-download', uri=uri
        )
        assert alice.succeeded(image.id)['status'] == 'active'
    with step('glanceclient', 'an import that is refused'):
        with pytest.raises(glanceclient.exc.HTTPBadRequest, match='permitted_networks'):
            alice.lib.images.image_import(
                alice.create(), 'web-download', uri='http://169.254.169.254/latest'
            )


def test_copying_to_more_stores(step: Step, alice: Person, admin: Person) -> None:
    image_id = alice.active()
    with step('openstack', 'copy-image'):
        admin.openstack('image', 'import', '--store', 'cold', '--method', 'copy-image', image_id)
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    with step('openstack', 'delete the data in a store'):
        admin.openstack('image', 'delete', '--store', 'fast', image_id)
        assert (alice.stores(image_id), alice.sha512(image_id)) == ({'cold'}, SHA512)
        assert not any(image_id in name for name in alice.files('fast'))
    with step('glance', 'copy-image'):
        admin.glance('image-import', '--import-method', 'copy-image', '--stores', 'fast', image_id)
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    with step('glance', 'delete the data in a store'):
        admin.glance('stores-delete', '--store', 'cold', image_id)
        assert (alice.stores(image_id), alice.sha512(image_id)) == ({'fast'}, SHA512)
    with step('glanceclient', 'copy-image'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.image_import(image_id, 'copy-image', stores=['cold'])
        admin.lib.images.image_import(image_id, 'copy-image', stores=['cold'])
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    with step('glanceclient', 'delete the data in a store'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.delete_from_store('fast', image_id)
        admin.lib.images.delete_from_store('fast', image_id)
        assert alice.stores(image_id) == {'cold'}
    with step('openstacksdk', 'copy-image'):
        admin.sdk.import_image(admin.sdk.get_image(image_id), 'copy-image', store='fast')
        alice.succeeded(image_id)
        assert alice.stores(image_id) == {'fast', 'cold'}
    with step('openstacksdk', 'delete the data in a store'):
        admin.sdk.delete_image(image_id, store='cold')
        assert alice.stores(image_id) == {'fast'}
        with pytest.raises(openstack.exceptions.ForbiddenException, match='the only one'):
            admin.sdk.delete_image(image_id, store='fast')
        assert alice.sha512(image_id) == SHA512


def test_locations(step: Step, alice: Person, admin: Person, web: Source) -> None:
    uri = web.url + '/disk'
    known = {'os_hash_algo': 'sha512', 'os_hash_value': SHA512}
    image_id = alice.create()
    with step('glance', 'register a location'):
        alice.glance('add-location', '--url', uri, '--validation-data', json.dumps(known), image_id)
        assert alice.succeeded(image_id)['stores'] == 'web'
    image_id = alice.create()
    with step('glanceclient', 'register a location'):
        alice.lib.images.add_image_location(image_id, uri, known)
        assert alice.succeeded(image_id)['os_hash_value'] == SHA512
    with step('glanceclient', 'locations'):
        (found,) = admin.lib.images.get_image_locations(image_id)
        assert (found['url'], found['metadata']) == (uri, {'store': 'web'})
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.get_image_locations(image_id)
    image_id = alice.create()
    with step('openstacksdk', 'register a location'):
        alice.sdk.add_image_location(image_id, uri, validation_data=known)
        assert alice.succeeded(image_id)['stores'] == 'web'
    with step('openstacksdk', 'locations'):
        (found,) = admin.sdk.image_locations(image_id)
        assert (found.url, found.metadata) == (uri, {'store': 'web'})


def test_locations_by_patch(step: Step, alice: Person, admin: Person, web: Source) -> None:
    """As clients do it that do not know the calls for locations."""
    uri, other = web.url + '/disk', web.url + '/disk#other'
    known = {'os_hash_algo': 'sha512', 'os_hash_value': SHA512}
    image_id = alice.create()

    def places() -> list[tuple[str, Any]]:
        found = alice.image(image_id)['locations']
        return [(place['url'], place['metadata']) for place in found]

    with step('glanceclient', 'add a location'):
        assert alice.lib.images.add_location(image_id, uri, {}, known)['status'] == 'active'
        assert alice.succeeded(image_id)['stores'] == 'web'
    with step('glance', 'add a location'):
        alice.glance('location-add', '--url', other, image_id)
        alice.succeeded(image_id)
        assert places() == [(uri, {'store': 'web'}), (other, {'store': 'web'})]
    with step('glance', 'change a location'):
        alice.glance('location-update', '--url', other, '--metadata', '{"rack": "7"}', image_id)
        assert places()[1] == (other, {'rack': '7', 'store': 'web'})
    with step('glanceclient', 'remove a location'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.delete_locations(image_id, {uri})
        admin.lib.images.delete_locations(image_id, {uri})
        assert places() == [(other, {'rack': '7', 'store': 'web'})]
        assert alice.sha512(image_id) == SHA512


def test_listing_and_showing(step: Step, alice: Person, disk: str) -> None:
    sizes = {'a': 3, 'b': 1, 'c': 2, 'd': 4}
    ids = {
        name: alice.create(name=f'list-{name}', min_ram=size, tags=['list'], letter=name)
        for name, size in sizes.items()
    }
    hidden = alice.create(name='list-hidden', tags=['list'], os_hidden=True)
    with step('openstack', 'show'):
        shown = alice.openstack('image', 'show', '-f', 'json', 'list-a')
        assert (shown['id'], shown['min_ram'], shown['tags']) == (ids['a'], 3, ['list'])
        assert shown['properties']['letter'] == 'a'
    with step('glance', 'show'):
        assert all(
            w in alice.glance('image-show', ids['a']) for w in ('list-a', 'letter', 'queued')
        )
    with step('glanceclient', 'show'):
        shown = alice.lib.images.get(ids['a'])
        assert dict(shown) == {k: v for k, v in alice.image(ids['a']).items() if k != 'self'}
    with step('openstacksdk', 'show'):
        found = alice.sdk.find_image('list-a')
        assert (found.id, found.min_ram, found.properties['letter']) == (ids['a'], 3, 'a')
    with step('openstack', 'list by tag and property'):
        found = alice.openstack(
            'image', 'list', '--tag', 'list', '--property', 'letter=b', '-f', 'json'
        )
        assert [each['ID'] for each in found] == [ids['b']]
    with step('openstack', 'list a page in order'):
        found = alice.openstack(
            'image', 'list', '--tag', 'list', '--sort', 'name:desc', '--limit', '2', '--marker',
            ids['d'], '--max-items', '2', '--long', '-f', 'json',
        )  # fmt: skip
        assert [each['ID'] for each in found] == [ids['c'], ids['b']]
    with step('openstack', 'list what is hidden'):
        found = alice.openstack('image', 'list', '--hidden', '--tag', 'list', '-f', 'json')
        assert [each['ID'] for each in found] == [hidden]
    with step('glance', 'list by tag and property'):
        text = alice.glance(
            'image-list', '--tag', 'list', '--property-filter', 'letter=b', '--include-stores'
        )
        assert ids['b'] in text and not any(ids[name] in text for name in 'acd')
    with step('glance', 'list a page in order'):
        text = alice.glance(
            'image-list', '--tag', 'list', '--page-size', '2', '--limit', '3', '--sort', 'name:desc'
        )
        assert [name for name in reversed('abcd') if ids[name] in text] == ['d', 'c', 'b']
        assert text.index(ids['d']) < text.index(ids['c']) < text.index(ids['b'])
    with step('glance', 'list what is hidden'):
        text = alice.glance('image-list', '--tag', 'list', '--hidden', 'True')
        assert hidden in text and ids['a'] not in text
    with step('glanceclient', 'list by tag and property'):
        filters = {'tag': ['list'], 'name': 'in:list-a,list-b', 'letter': 'b'}
        assert [each.id for each in alice.lib.images.list(filters=filters)] == [ids['b']]
    with step('glanceclient', 'list a page in order'):
        found = alice.lib.images.list(
            filters={'tag': ['list']}, page_size=1, sort_key=['name'], sort_dir=['asc'],
            marker=ids['a'], limit=2,
        )  # fmt: skip
        assert [each.id for each in found] == [ids['b'], ids['c']]
    with step('glanceclient', 'list by owner, status, name and time'):
        since = alice.image(ids['b'])['created_at']
        filters = {
            'owner': alice.project, 'status': 'queued', 'name': 'in:list-a,list-b,list-d',
            'created_at': f'gte:{since}',
        }  # fmt: skip
        found = {each.id for each in alice.lib.images.list(filters=filters)}
        assert {ids['b'], ids['d']} <= found <= {ids['a'], ids['b'], ids['d']}
    with step('openstacksdk', 'list by tag and name'):
        found = alice.sdk.images(tag='list', name='in:list-b,list-c', sort='name:asc')
        assert [each.id for each in found] == [ids['b'], ids['c']]
    with step('openstacksdk', 'list a page in order'):
        found = alice.sdk.images(tag='list', sort='name:desc', limit=1)
        assert [each.id for each in found] == [ids[name] for name in 'dcba']
    with step('openstacksdk', 'list what is hidden'):
        assert [each.id for each in alice.sdk.images(is_hidden=True, tag='list')] == [hidden]
    with step('openstacksdk', 'list by size'):
        big = alice.active(name='list-big')
        found = {each.id for each in alice.sdk.images(size_min=len(DATA), name='list-big')}
        assert found == {big}
        assert list(alice.sdk.images(size_min=len(DATA) + 1, name='list-big')) == []


def test_changing(step: Step, alice: Person) -> None:
    image_id = alice.create(kept='yes')

    def check(**expected: Any) -> None:
        shown = alice.image(image_id)
        assert {key: shown.get(key) for key in expected} == expected
        assert shown['kept'] == 'yes'

    with step('openstack', 'change fields and properties'):
        alice.openstack(
            'image', 'set', '--name', 'changed', '--min-disk', '3', '--min-ram', '5', '--hidden',
            '--os-distro', 'debian', '--property', 'a=b', '--property', 'c/d=e', '--tag', 't',
            image_id,
        )  # fmt: skip
        check(
            name='changed', min_disk=3, min_ram=5, os_distro='debian', os_hidden=True, tags=['t'],
            **{'a': 'b', 'c/d': 'e'},
        )  # fmt: skip
    with step('openstack', 'remove properties and tags'):
        alice.openstack(
            'image', 'unset', '--property', 'a', '--property', 'c/d', '--tag', 't', image_id
        )
        check(tags=[], os_distro='debian', **{'a': None, 'c/d': None})
    with step('glance', 'change fields and properties'):
        alice.glance(
            'image-update', '--name', 'again', '--property', 'a=c', '--hidden', 'False',
            '--remove-property', 'os_distro', image_id,
        )  # fmt: skip
        check(name='again', a='c', os_distro=None, os_hidden=False)
    with step('glanceclient', 'change fields and properties'):
        alice.lib.images.update(image_id, remove_props=['a'], min_ram=6, f='g', tags=['x', 'y'])
        check(a=None, min_ram=6, f='g', tags=['x', 'y'])
    with step('openstacksdk', 'change fields and properties'):
        alice.sdk.update_image(image_id, name='by-sdk', hw_disk_bus='scsi', min_disk=7)
        check(name='by-sdk', hw_disk_bus='scsi', min_disk=7, tags=['x', 'y'])
    with step('openstacksdk', 'change properties by their names'):
        alice.sdk.update_image_properties(alice.sdk.get_image(image_id), hw_disk_bus='ide', n='1')
        check(hw_disk_bus='ide', n='1', f='g')
    with step('glance', 'tags'):
        alice.glance('image-tag-update', image_id, 'a tag')
        check(tags=['a tag', 'x', 'y'])
        alice.glance('image-tag-delete', image_id, 'a tag')
        check(tags=['x', 'y'])
    with step('glanceclient', 'tags'):
        alice.lib.image_tags.update(image_id, 'ü z')
        check(tags=['x', 'y', 'ü z'])
        alice.lib.image_tags.delete(image_id, 'x')
        check(tags=['y', 'ü z'])
    with step('openstacksdk', 'tags'):
        alice.sdk.add_tag(image_id, 'w')
        alice.sdk.remove_tag(image_id, 'y')
        check(tags=['w', 'ü z'])
    with step('openstacksdk', 'two who change the same image'):
        mine, theirs = alice.sdk.get_image(image_id), alice.sdk.get_image(image_id)
        alice.sdk.update_image(mine, min_ram=11)
        alice.sdk.update_image(theirs, min_disk=12)
        check(min_ram=11, min_disk=12)
    with step('glanceclient', 'a change that is refused'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.update(image_id, visibility='public')
        with pytest.raises(TypeError, match='is too long'):  # as the schema tells the client
            alice.lib.images.update(image_id, name='x' * 256)
        check(name='by-sdk', visibility='shared')


def test_sharing(step: Step, alice: Person, bob: Person) -> None:
    image_id = alice.active(name='to-share')
    assert bob.gone(image_id)
    with step('openstack', 'share'):
        alice.openstack('image', 'add', 'project', image_id, bob.project)
        assert alice.members(image_id) == {bob.project: 'pending'}
        assert bob.sha512(image_id) == SHA512 and image_id not in bob.listed()
    with step('openstack', 'members'):
        (found,) = alice.openstack('image', 'member', 'list', '-f', 'json', image_id)
        assert (found['Member ID'], found['Status']) == (bob.project, 'pending')
    with step('openstack', 'accept'):
        bob.openstack('image', 'set', '--accept', image_id)
        assert alice.members(image_id) == {bob.project: 'accepted'} and image_id in bob.listed()
    with step('openstack', 'stop sharing'):
        alice.openstack('image', 'remove', 'project', image_id, bob.project)
        assert alice.members(image_id) == {} and bob.gone(image_id)
    with step('glance', 'share'):
        alice.glance('member-create', image_id, bob.project)
        assert bob.members(image_id) == {bob.project: 'pending'}
    with step('glance', 'members'):
        assert bob.project in alice.glance('member-list', '--image-id', image_id)
        assert 'pending' in bob.glance('member-get', image_id, bob.project)
    with step('glance', 'reject'):
        bob.glance('member-update', image_id, bob.project, 'rejected')
        assert alice.members(image_id) == {bob.project: 'rejected'}
        assert image_id not in bob.listed() and not bob.gone(image_id)
    with step('glance', 'stop sharing'):
        alice.glance('member-delete', image_id, bob.project)
        assert bob.gone(image_id)
    with step('glanceclient', 'share'):
        assert alice.lib.image_members.create(image_id, bob.project).status == 'pending'
        with pytest.raises(glanceclient.exc.HTTPConflict):
            alice.lib.image_members.create(image_id, bob.project)
    with step('glanceclient', 'accept'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.image_members.update(image_id, bob.project, 'accepted')
        bob.lib.image_members.update(image_id, bob.project, 'accepted')
        assert alice.members(image_id) == {bob.project: 'accepted'}
    with step('glanceclient', 'list what is shared with the project'):
        filters = {'member_status': 'accepted', 'visibility': 'shared'}
        assert image_id in [each.id for each in bob.lib.images.list(filters=filters)]
        assert image_id not in [
            each.id for each in bob.lib.images.list(filters={**filters, 'member_status': 'pending'})
        ]
    with step('glanceclient', 'members'):
        (found,) = bob.lib.image_members.list(image_id)
        assert (found.member_id, found.status) == (bob.project, 'accepted')
        assert bob.lib.image_members.get(image_id, bob.project).image_id == image_id
    with step('glanceclient', 'stop sharing'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            bob.lib.image_members.delete(image_id, bob.project)
        alice.lib.image_members.delete(image_id, bob.project)
        assert bob.gone(image_id)
    with step('openstacksdk', 'share'):
        member = alice.sdk.add_member(image_id, member_id=bob.project)
        assert (member.status, bob.gone(image_id)) == ('pending', False)
    with step('openstacksdk', 'members'):
        (found,) = alice.sdk.members(image_id)
        assert (found.member_id, found.status) == (bob.project, 'pending')
        assert bob.sdk.get_member(bob.project, image_id).status == 'pending'
    with step('openstacksdk', 'reject'):
        bob.sdk.update_member(bob.project, image_id, status='rejected')
        assert alice.members(image_id) == {bob.project: 'rejected'}
    with step('openstacksdk', 'stop sharing'):
        alice.sdk.remove_member(bob.project, image_id, ignore_missing=False)
        assert alice.members(image_id) == {}


def test_visibility_and_protection(step: Step, alice: Person, bob: Person, admin: Person) -> None:
    image_id = alice.active(name='seen', visibility='private')
    with step('openstack', 'make a community image'):
        alice.openstack('image', 'set', '--community', '--protected', image_id)
        assert alice.image(image_id)['visibility'] == 'community'
        assert image_id not in bob.listed() and bob.sha512(image_id) == SHA512
    with step('openstack', 'list community images'):
        found = bob.openstack('image', 'list', '--community', '--name', 'seen', '-f', 'json')
        assert [each['ID'] for each in found] == [image_id]
    with step('openstack', 'delete what is protected'):
        done = alice.cli('openstack', 'image', 'delete', image_id)
        assert done.returncode != 0 and 'protected' in done.stderr.lower()
        assert not alice.gone(image_id)
    with step('glanceclient', 'make a public image'):
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.update(image_id, visibility='public')
        admin.lib.images.update(image_id, visibility='public')
        assert image_id in bob.listed('visibility=public')
    with step('openstacksdk', 'change the image of another project'):
        with pytest.raises(openstack.exceptions.ForbiddenException):
            bob.sdk.update_image(image_id, name='taken')
        assert alice.image(image_id)['name'] == 'seen'
    with step('openstacksdk', 'make a private image'):
        admin.sdk.update_image(image_id, visibility='private')
        assert bob.gone(image_id) and alice.image(image_id)['visibility'] == 'private'
        assert bob.sdk.find_image(image_id) is None
    with step('glance', 'protect and unprotect'):
        alice.glance('image-update', '--protected', 'False', image_id)
        assert alice.image(image_id)['protected'] is False
        alice.glance('image-update', '--protected', 'True', image_id)
        assert alice.image(image_id)['protected'] is True
    with step('openstacksdk', 'protect and unprotect'):
        with pytest.raises(openstack.exceptions.ForbiddenException):
            alice.sdk.delete_image(image_id)
        alice.sdk.update_image(image_id, is_protected=False)
        alice.sdk.delete_image(image_id)
        assert alice.gone(image_id)


def test_deactivating_and_downloading(step: Step, alice: Person, tmp_path: Path) -> None:
    image_id = alice.active(name='to-save')
    path = tmp_path / 'download'

    def check_file() -> None:
        assert hashlib.sha512(path.read_bytes()).hexdigest() == SHA512
        path.unlink()

    with step('openstack', 'download'):
        alice.openstack('image', 'save', '--file', str(path), 'to-save')
        check_file()
    with step('glance', 'download'):
        alice.glance('image-download', '--file', str(path), '--prefer', 'cold', image_id)
        check_file()
    with step('glanceclient', 'download'):
        body = alice.lib.images.data(image_id)  # compares the hash by itself
        assert len(body) == len(DATA) and b''.join(body) == DATA
    with step('openstacksdk', 'download'):
        with path.open('wb') as file:
            alice.sdk.download_image(image_id, output=file, stream=True)
        check_file()
    with step('openstack', 'deactivate'):
        alice.openstack('image', 'set', '--deactivate', image_id)
        assert alice.image(image_id)['status'] == 'deactivated'
        assert alice.request('GET', f'/v2/images/{image_id}/file').status_code == 403
    with step('openstack', 'reactivate'):
        alice.openstack('image', 'set', '--activate', image_id)
        assert alice.sha512(image_id) == SHA512
    with step('glance', 'deactivate'):
        alice.glance('image-deactivate', image_id)
        assert alice.image(image_id)['status'] == 'deactivated'
    with step('glance', 'reactivate'):
        alice.glance('image-reactivate', image_id)
        assert alice.image(image_id)['status'] == 'active'
    with step('glanceclient', 'deactivate'):
        alice.lib.images.deactivate(image_id)
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.images.data(image_id)
    with step('glanceclient', 'reactivate'):
        alice.lib.images.reactivate(image_id)
        assert alice.image(image_id)['status'] == 'active'
    with step('openstacksdk', 'deactivate'):
        alice.sdk.deactivate_image(image_id)
        # it takes the refusal for data, and finds by the hash that it is none
        with pytest.raises(openstack.exceptions.InvalidResponse, match='checksum'):
            alice.sdk.download_image(image_id)
    with step('openstacksdk', 'reactivate'):
        alice.sdk.reactivate_image(image_id)
        assert alice.sha512(image_id) == SHA512


def test_tasks(step: Step, alice: Person, admin: Person, web: Source) -> None:
    image_id = alice.create()
    assert alice.put(image_id, DATA).status_code == 204
    assert alice.post_import(image_id).status_code == 202
    alice.succeeded(image_id)
    task_id = alice.last_task(image_id)['id']
    with step('glance', 'tasks of an image'):
        assert 'success' in alice.glance('image-tasks', image_id)
    with step('glanceclient', 'tasks of an image'):
        (task,) = alice.lib.images.get_associated_image_tasks(image_id)['tasks']
        assert (task['id'], task['status']) == (task_id, 'success')
    with step('openstacksdk', 'tasks of an image'):
        (task,) = alice.sdk.image_tasks(image_id)
        assert (task.id, task.status, task.image_id) == (task_id, 'success', image_id)

    def given(name: str) -> dict[str, Any]:
        return {
            'import_from': web.url + '/disk', 'import_from_format': 'raw',
            'image_properties': {**FORMATS, 'name': name},
        }  # fmt: skip

    def check(name: str) -> None:
        wait_for(lambda: admin.listed(f'name={name}'), 60, f'the image {name}')
        (image_id,) = admin.listed(f'name={name}')
        assert admin.sha512(image_id) == SHA512

    with step('glance', 'an image by a task'):
        admin.glance('task-create', '--type', 'import', '--input', json.dumps(given('task-glance')))
        check('task-glance')
    with step('glanceclient', 'an image by a task'):
        task = admin.lib.tasks.create(type='import', input=given('task-lib'))
        check('task-lib')
    with step('glanceclient', 'tasks'):
        assert admin.lib.tasks.get(task.id).status == 'success'
        assert task.id in [each.id for each in admin.lib.tasks.list(filters={'status': 'success'})]
        with pytest.raises(glanceclient.exc.HTTPForbidden):
            alice.lib.tasks.get(task.id)
    with step('openstacksdk', 'an image by a task'):
        task = admin.sdk.create_task(type='import', input=given('task-sdk'))
        done = admin.sdk.wait_for_task(task, interval=1, wait=60)
        check('task-sdk')
        assert done.result['image_id'] == admin.listed('name=task-sdk')[0]
    with step('openstacksdk', 'tasks'):
        assert admin.sdk.get_task(task.id).status == 'success'
        assert task.id in [each.id for each in admin.sdk.tasks(limit=1, type='import')]
    with step('openstack', 'tasks'):
        found = admin.openstack('image', 'task', 'list', '--status', 'success', '-f', 'json')
        assert task.id in [each['ID'] for each in found]
    with step('glance', 'tasks'):
        assert task.id in admin.glance('task-list', '--type', 'import', '--page-size', '2')
        assert 'success' in admin.glance('task-show', task.id)


def test_deleting(step: Step, alice: Person, bob: Person) -> None:
    ids = [alice.active() for _ in range(5)]
    with step('openstacksdk', 'delete the image of another project'):
        with pytest.raises(openstack.exceptions.NotFoundException):
            bob.sdk.delete_image(ids[0], ignore_missing=False)
        assert not alice.gone(ids[0])
    with step('openstack', 'delete'):
        alice.openstack('image', 'delete', *ids[:2])
        assert alice.gone(ids[0]) and alice.gone(ids[1])
    with step('glance', 'delete'):
        alice.glance('image-delete', ids[2])
        assert alice.gone(ids[2])
    with step('glanceclient', 'delete'):
        alice.lib.images.delete(ids[3])
        with pytest.raises(glanceclient.exc.HTTPNotFound):
            alice.lib.images.get(ids[3])
        with pytest.raises(glanceclient.exc.HTTPNotFound):
            alice.lib.images.delete(ids[3])
    with step('openstacksdk', 'delete'):
        alice.sdk.delete_image(ids[4], ignore_missing=False)
        assert alice.gone(ids[4])
    wait_for(lambda: not any(i in name for i in ids for name in alice.files('fast')), 30, 'no data')


def test_the_tour_was_long_enough_and_the_documentation_has_its_steps(
    made: list[tuple[str, str]],
) -> None:
    """Last in this file, and only after all of it."""
    assert len(set(made)) >= LEAST_STEPS
    rows = [
        [operation, *('x' if (operation, client) in made else '' for client in CLIENTS)]
        for operation in dict.fromkeys(operation for operation, _ in made)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([('step', *CLIENTS), *rows])
    assert TABLE.read_text() == text.getvalue(), f'{TABLE} is to be:\n{text.getvalue()}'
