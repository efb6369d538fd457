# SPDX-License-Identifier: Apache-2.0
"""Who may do what, as a real Keystone tells who asks; with the clients that users have."""

import contextlib
import hashlib
import itertools
import json
import os
import socket
import time

import openstack
import pytest
import requests

from tests.functional.keystone import PASSWORD, USERS, Caller, keystone
from tests.functional.processes import wait_for
from tests.functional.service import LOCAL_SOURCES, service
from tests.functional.sources import source

DATA = os.urandom(1_000_000)
SHA512 = hashlib.sha512(DATA).hexdigest()
PEOPLE = ('admin', *(name for name, *_ in USERS))
INJECT = (
    '[image_import_opts]\nimage_import_plugins = [inject_image_metadata]\n'
    '[inject_metadata_properties]\ninject = "approved_by":"operations"\n'
    'ignore_user_roles = admin, OPERATOR\n'
)
#: Everything is logged that the libraries have to say, so that a token in it would be found. One
#: worker: each looks for changed rules by itself, and a test could not tell which one answers.
LOUD = (
    '[DEFAULT]\nworkers = 1\ndebug = true\ndefault_log_levels = keystoneauth=DEBUG, '
    'keystonemiddleware=DEBUG, urllib3=DEBUG, sqlalchemy=INFO\n'
)
PATCH = {'Content-Type': 'application/openstack-images-v2.1-json-patch'}

#: What one does with an image: name -> (method, path below the image, options of the request).
READS = {
    'show': ('GET', '', {}),
    'tasks': ('GET', '/tasks', {}),
    'download': ('GET', '/file', {}),
}
WRITES = {
    'patch': (
        'PATCH',
        '',
        {'headers': PATCH, 'json': [{'op': 'replace', 'path': '/name', 'value': 'taken'}]},
    ),
    'upload': (
        'PUT',
        '/file',
        {'headers': {'Content-Type': 'application/octet-stream'}, 'data': b'x'},
    ),
    'stage': (
        'PUT',
        '/stage',
        {'headers': {'Content-Type': 'application/octet-stream'}, 'data': b'x'},
    ),
    'import': ('POST', '/import', {'json': {'method': {'name': 'glance-direct'}}}),
    'delete': ('DELETE', '', {}),
}


@pytest.fixture(scope='session')
def identity(tmp_path_factory):
    with keystone(tmp_path_factory.mktemp('keystone')) as found:
        yield found


@pytest.fixture(scope='module')
def api(identity, tmp_path_factory):
    extra = LOUD + identity.authtoken() + INJECT + LOCAL_SOURCES
    with service(tmp_path_factory.mktemp('api'), extra=extra) as found:
        with identity.listed(found.url):
            yield found


@pytest.fixture(scope='module')
def people(api, identity):
    """Everybody with a token, by name."""
    return {name: caller(api, identity, name) for name in PEOPLE}


@pytest.fixture(scope='module')
def alice(people):
    return people['alice']


@pytest.fixture(scope='module')
def images(alice, people):
    """An active image of alice for each visibility, and one that waits for data: id by name."""
    made = {}
    for name in ('private', 'shared', 'community', 'public'):
        made[name] = imported(alice, name=f'of-alice-{name}')
        who = people['admin'] if name == 'public' else alice
        assert change(who, made[name], 'visibility', name).status_code == 200
    made['queued'] = alice.create(name='of-alice-queued', visibility='community')
    return made


def caller(api, identity, name):
    return Caller(api, identity.token(name), name, identity.auth_url)


def imported(who, data=DATA, **values):
    image_id = who.create(**values)
    assert who.put(image_id, data).status_code == 204
    assert who.post_import(image_id).status_code == 202
    assert who.wait(image_id)['status'] == 'success'
    return image_id


def change(who, image_id, name, value):
    body = [{'op': 'replace', 'path': f'/{name}', 'value': value}]
    return who.request('PATCH', f'/v2/images/{image_id}', json=body, headers=PATCH)


def do(who, call, image_id):
    method, path, options = call
    return who.request(method, f'/v2/images/{image_id}{path}', **options)


def names(who, query='limit=1000'):
    return {image['name'] for image in who.request('GET', f'/v2/images?{query}').json()['images']}


def status_of(api, token):
    return Caller(api, token).request('GET', '/v2/images').status_code


@pytest.mark.parametrize('token', [None, 'not-a-token', 'gAAAAABk' + 'x' * 170, 'ø', ''])
def test_without_a_valid_token_nothing_is_told(api, identity, images, token):
    who = Caller(api, token.encode() if token else token)
    forged = {'X-Identity-Status': 'Confirmed', 'X-Roles': 'admin', 'X-Project-Id': 'x'}
    calls = [
        ('GET', '/v2/images'),
        ('GET', f"/v2/images/{images['public']}"),
        ('POST', '/v2/images'),
        ('GET', '/v2/no-such-path'),
    ]
    for (method, path), headers in itertools.product(calls, ({}, forged)):
        answer = who.request(method, path, headers=headers)
        assert answer.status_code == 401, answer.text
        assert answer.headers['WWW-Authenticate'] == f'Keystone uri="{identity.url}"'
        assert answer.json()['error']['code'] == 'unauthorized'
    assert who.request('GET', '/').status_code == 300
    assert who.request('GET', '/healthcheck').status_code == 200


def test_a_user_imports_both_ways_and_reads_the_tasks_with_an_ordinary_token(alice, identity):
    direct = imported(alice)
    web = alice.create()
    with source(DATA) as origin:
        answer = alice.post_import(web, 'web-download', method={'uri': origin.url + '/disk'})
        assert answer.status_code == 202
        assert alice.wait(web)['status'] == 'success'
    project = identity.id_of('project', 'p1')
    for image_id in (direct, web):
        image, task = alice.image(image_id), alice.last_task(image_id)
        assert (image['status'], image['owner']) == ('active', project)
        assert (task['owner'], task['user_id']) == (project, identity.id_of('user', 'alice'))
        assert alice.sha512(image_id) == image['os_hash_value'] == SHA512


@pytest.mark.parametrize('visibility', ['private', 'shared'])
@pytest.mark.parametrize('call', [*READS, *WRITES])
def test_what_a_stranger_cannot_see_is_not_there(people, alice, images, visibility, call):
    image_id = images[visibility]
    before = alice.image(image_id)
    answer = do(people['bob'], {**READS, **WRITES}[call], image_id)
    assert (answer.status_code, answer.json()['error']['code']) == (404, 'image_not_found')
    assert alice.image(image_id) == before
    assert f'of-alice-{visibility}' not in names(people['bob'])


@pytest.mark.parametrize('visibility', ['public', 'community'])
def test_what_a_stranger_sees_they_read(people, images, visibility):
    for call in READS.values():
        assert do(people['bob'], call, images[visibility]).status_code == 200
    assert people['bob'].sha512(images[visibility]) == SHA512
    assert (f'of-alice-{visibility}' in names(people['bob'])) == (visibility == 'public')
    assert f'of-alice-{visibility}' in names(people['bob'], f'visibility={visibility}')


@pytest.mark.parametrize('visibility', ['public', 'community', 'queued'])
@pytest.mark.parametrize('call', WRITES)
def test_what_a_stranger_sees_they_may_not_change(people, alice, images, visibility, call):
    image_id = images[visibility]
    before = alice.image(image_id)
    answer = do(people['bob'], WRITES[call], image_id)
    assert (answer.status_code, answer.json()['error']['code']) == (403, 'forbidden')
    assert alice.image(image_id) == before and alice.files('staging') == []


def test_a_reader_reads_and_writes_nothing(people, alice, images):
    rita = people['rita']
    for visibility in ('private', 'shared', 'community', 'public'):
        assert do(rita, READS['show'], images[visibility]).status_code == 200
        assert do(rita, READS['tasks'], images[visibility]).status_code == 200
        assert do(rita, READS['download'], images[visibility]).status_code == 403
    assert {'of-alice-private', 'of-alice-public'} <= names(rita)
    assert rita.request('POST', '/v2/images', json={'name': 'x'}).status_code == 403
    for visibility, call in itertools.product(images, WRITES.values()):
        before = alice.image(images[visibility])
        assert do(rita, call, images[visibility]).status_code == 403
        assert alice.image(images[visibility]) == before


def test_an_administrator_sees_and_changes_everything(people, images):
    admin, bob = people['admin'], people['bob']
    of_bob = bob.create(name='of-bob', visibility='private')
    assert {'of-bob', *(f'of-alice-{name}' for name in ('private', 'shared', 'public'))} <= (
        names(admin)
    )
    for image_id in (of_bob, *images.values()):
        assert admin.image(image_id)['id'] == image_id
        assert do(admin, READS['tasks'], image_id).status_code == 200
    assert admin.sha512(images['private']) == SHA512
    assert change(admin, of_bob, 'name', 'seen').status_code == 200
    assert bob.image(of_bob)['name'] == 'seen'
    assert do(admin, WRITES['delete'], of_bob).status_code == 204


def test_only_administrators_make_images_public(people, alice):
    body = {'name': 'x', 'visibility': 'public'}
    for name in ('alice', 'olga', 'rita', 'bob', 'glance'):
        assert people[name].request('POST', '/v2/images', json=body).status_code == 403
    image_id = alice.create()
    assert change(alice, image_id, 'visibility', 'public').status_code == 403
    assert change(alice, image_id, 'visibility', 'community').status_code == 200
    assert change(people['admin'], image_id, 'visibility', 'public').status_code == 200
    assert people['admin'].create(visibility='public')


def test_a_service_role_sees_the_stores_in_detail_and_no_more(people, images):
    detail = '/v2/info/stores/detail'
    for name, status in (('admin', 200), ('glance', 200), ('alice', 403), ('rita', 403)):
        assert people[name].request('GET', detail).status_code == status
    assert do(people['glance'], READS['show'], images['private']).status_code == 404


def test_properties_are_injected_except_for_ignored_roles_whatever_their_case(people):
    expected = {'alice': 'operations', 'olga': None, 'admin': None}
    for name, value in expected.items():
        who = people[name]
        assert who.image(imported(who)).get('approved_by') == value, name
        plain = who.create()
        assert who.put(plain, DATA, 'file').status_code == 204
        assert 'approved_by' not in who.image(plain)


def test_an_image_is_shared_with_a_project_which_accepts_it(people, alice, images, identity):
    """With the client that users have: the owner offers, the other project answers."""
    bob, image_id, project = people['bob'], images['shared'], identity.id_of('project', 'p2')
    alice.openstack('image', 'add', 'project', image_id, project)
    try:
        assert bob.sha512(image_id) == SHA512
        assert 'of-alice-shared' not in names(bob)
        assert 'of-alice-shared' in names(bob, 'member_status=pending')
        bob.openstack('image', 'set', '--accept', image_id)
        assert 'of-alice-shared' in [
            i['Name'] for i in bob.openstack('image', 'list', '-f', 'json')
        ]
        for who in (alice, bob):
            (member,) = who.openstack('image', 'member', 'list', '-f', 'json', image_id)
            assert (member['Member ID'], member['Status']) == (project, 'accepted')
        assert do(bob, WRITES['patch'], image_id).status_code == 403
        bob.openstack('image', 'set', '--reject', image_id)
        assert 'of-alice-shared' not in names(bob)
    finally:
        alice.openstack('image', 'remove', 'project', image_id, project)
    assert do(bob, READS['show'], image_id).status_code == 404


def test_rules_may_be_overridden_beside_the_configuration(api, alice, people, images):
    """The file is found while the service runs; role names are compared without case."""
    path = api.folder / 'policy.yaml'
    show = f"/v2/images/{images['private']}"
    path.write_text(
        'upload_image: "role:operator"\n"download_image": "rule:context_is_admin"\n'
        '"context_is_admin": "role:ADMIN"\n'
    )
    try:
        wait_for(lambda: alice.request('GET', show + '/file').status_code == 403, 20, 'the rule')
        assert people['admin'].sha512(images['private']) == SHA512
        image_id = alice.create()
        assert alice.put(image_id, DATA, 'file').status_code == 403
        assert people['olga'].put(image_id, DATA, 'file').status_code == 204
        imported(alice)
        path.write_text('"download_image": "nonsense(\n')
        wait_for(lambda: alice.request('GET', show).status_code != 200, 20, 'the broken file')
        answer = alice.request('GET', show)
        assert (answer.status_code, answer.json()['error']['code']) == (503, 'service_unavailable')
        assert 'Retry-After' in answer.headers and 'nonsense' not in answer.text
    finally:
        path.write_text('{}\n')
    wait_for(lambda: alice.request('GET', show + '/file').status_code == 200, 20, 'the defaults')


def test_a_json_policy_file_and_anonymous_readers(identity, tmp_path):
    """Whatever the rules permit, who has no token changes nothing."""
    rules = {
        'communitize_image': 'role:admin',
        'modify_image': '@',
        'add_image': '@',
        'delete_image': '@',
        'upload_image': '@',
    }
    (tmp_path / 'policy.json').write_text(json.dumps(rules))
    extra = '[DEFAULT]\nallow_anonymous_access = true\n' + identity.authtoken()
    with service(tmp_path, extra=extra) as api:
        admin, alice = (caller(api, identity, name) for name in ('admin', 'alice'))
        made = {
            'public': imported(admin, name='public', visibility='public'),
            'private': imported(alice, name='private', visibility='private'),
            'shared': imported(alice, name='shared', visibility='shared'),
        }
        assert change(alice, made['private'], 'visibility', 'community').status_code == 403
        assert change(admin, made['private'], 'visibility', 'community').status_code == 200
        assert change(alice, made['private'], 'visibility', 'private').status_code == 200
        for token in (None, 'not-a-token'):
            nobody = Caller(api, token)
            assert names(nobody) == {'public'}
            assert nobody.image(made['public'])['name'] == 'public'
            for name, call in itertools.product(('private', 'shared'), READS.values()):
                assert do(nobody, call, made[name]).status_code == 404
            for image_id, call in itertools.product(made.values(), WRITES.values()):
                answer = do(nobody, call, image_id)
                assert answer.status_code == 403, (call, answer.text)
                assert 'Without a token' in answer.text
            assert nobody.request('POST', '/v2/images', json={}).status_code == 403
            assert nobody.request('GET', '/v2/info/stores/detail').status_code == 403
        assert names(alice) == {'public', 'private', 'shared'}


def test_tokens_of_other_scopes(api, identity, images):
    """Without a project nobody owns anything; none of them is a fault of the service."""
    user = {
        'methods': ['password'],
        'password': {
            'user': {
                'name': 'admin',
                'domain': {'id': 'default'},
                'password': PASSWORD,
            }
        },
    }
    admin_id = identity.id_of('user', 'admin')
    role_id = identity.id_of('role', 'admin')
    identity.call('PUT', f'/domains/default/users/{admin_id}/roles/{role_id}')
    scopes = {
        'unscoped': 'unscoped',
        'system': {'system': {'all': True}},
        'domain': {'domain': {'id': 'default'}},
    }
    for name, scope in scopes.items():
        who = Caller(api, identity.sign_in(user, scope))
        for call in (
            ('GET', '/v2/images'),
            ('GET', f"/v2/images/{images['private']}"),
            ('DELETE', f"/v2/images/{images['private']}"),
            ('POST', '/v2/images'),
        ):
            answer = who.request(*call, json={'name': 'x'} if call[0] == 'POST' else None)
            assert answer.status_code in (403, 404), (name, call, answer.text)


def test_an_application_credential_works_as_its_user(api, identity, alice):
    user_id = identity.id_of('user', 'alice')
    made = identity.call(
        'POST',
        f'/users/{user_id}/application_credentials',
        {'application_credential': {'name': 'robot'}},
        token=identity.token('alice'),
    )['application_credential']
    token = identity.sign_in(
        {
            'methods': ['application_credential'],
            'application_credential': {'id': made['id'], 'secret': made['secret']},
        }
    )
    image_id = imported(Caller(api, token))
    assert alice.image(image_id)['status'] == 'active'


def test_an_application_credential_may_be_for_some_calls_alone(api, identity, alice):
    user_id = identity.id_of('user', 'alice')
    rule = {'service': 'image', 'method': 'GET', 'path': '/v2/images'}
    made = identity.call(
        'POST',
        f'/users/{user_id}/application_credentials',
        {'application_credential': {'name': 'looker', 'access_rules': [rule]}},
        token=identity.token('alice'),
    )['application_credential']
    token = identity.sign_in(
        {
            'methods': ['application_credential'],
            'application_credential': {'id': made['id'], 'secret': made['secret']},
        }
    )
    looker = Caller(api, token)
    assert looker.request('GET', '/v2/images').status_code == 200
    assert looker.request('GET', '/v2/info/stores').status_code == 401
    assert looker.request('POST', '/v2/images', json={}).status_code == 401


def test_an_expired_token_is_refused_and_a_service_may_still_use_it(api, identity, people, alice):
    image_id, uploaded, waiting = (alice.create() for _ in range(3))
    with identity.another(expiration=10) as brief:
        token = brief.token('alice')
    who = Caller(api, token)
    assert who.request('GET', '/v2/images').status_code == 200
    assert who.put(image_id, DATA).status_code == 204
    assert who.post_import(image_id).status_code == 202

    def outliving_the_token():
        yield DATA[:1000]
        wait_for(lambda: status_of(api, token) == 401, 30, 'the end of the token')
        yield DATA[1000:]

    # what began with a valid token ends without one
    assert who.put(uploaded, outliving_the_token(), 'file').status_code == 204
    assert alice.sha512(uploaded) == SHA512
    answer = who.request('POST', '/v2/images', json={'name': 'x'})
    assert answer.status_code == 401 and 'WWW-Authenticate' in answer.headers
    assert alice.wait(image_id)['status'] == 'success'
    for name, status in (('glance', 200), ('bob', 401)):
        answer = who.request(
            'GET', f'/v2/images/{image_id}', headers={'X-Service-Token': people[name].token}
        )
        assert answer.status_code == status, name
    answer = who.put(waiting, DATA, 'file', **{'X-Service-Token': people['glance'].token})
    assert answer.status_code == 204 and alice.sha512(waiting) == SHA512


def test_a_revoked_token_is_refused_at_once_or_when_the_cache_forgets_it(api, identity, tmp_path):
    token = identity.token('alice')
    identity.revoke(token)
    assert status_of(api, token) == 401
    with service(tmp_path, extra=identity.authtoken(token_cache_time=1)) as quick:
        who = caller(quick, identity, 'alice')
        image_id = who.create()
        assert who.put(image_id, DATA).status_code == 204
        assert who.post_import(image_id).status_code == 202
        identity.revoke(who.token)
        wait_for(lambda: status_of(quick, who.token) == 401, 20, 'the refusal')
        again = caller(quick, identity, 'alice')
        assert again.wait(image_id)['status'] == 'success'
        assert again.sha512(image_id) == SHA512


def test_without_keystone_tokens_wait_and_imports_go_on(identity, tmp_path):
    """503 tells a client to keep its token; what has begun needs no token."""
    extra = identity.authtoken(http_request_max_retries=0, token_cache_time=-1)
    with service(tmp_path, extra=extra) as api:
        alice = caller(api, identity, 'alice')
        image_id = alice.create()
        assert alice.put(image_id, DATA).status_code == 204
        assert alice.post_import(image_id).status_code == 202
        identity.stop()
        try:
            assert alice.request('GET', '/v2/images').status_code == 503
            answer = alice.request('POST', '/v2/images', json={'name': 'x'})
            assert answer.status_code == 503 and int(answer.headers['Retry-After']) > 0
            assert answer.json()['error']['code'] == 'service_unavailable'
            assert str(identity.port) not in answer.text
            assert Caller(api, None).request('GET', '/v2/images').status_code == 401
            assert Caller(api, None).request('GET', '/healthcheck').status_code == 200
        finally:
            identity.start()
        assert alice.request('GET', '/v2/images').status_code == 200
        assert alice.wait(image_id)['status'] == 'success'


def test_a_keystone_that_only_listens_costs_its_time_limit(identity, tmp_path):
    with contextlib.closing(socket.create_server(('127.0.0.1', 0))) as silent:
        url = f'http://127.0.0.1:{silent.getsockname()[1]}'
        extra = identity.authtoken(auth_url=url, http_connect_timeout=1, http_request_max_retries=0)
        with service(tmp_path, extra=extra) as api:
            began = time.monotonic()
            assert status_of(api, identity.token('alice')) == 503
            assert time.monotonic() - began < 15


@pytest.mark.parametrize('options', [{'password': 'wrong'}, {'auth_url': 'http://127.0.0.1:9'}])
def test_a_service_that_may_not_ask_keystone_says_so_and_tells_nothing(identity, tmp_path, options):
    """Neither a wrong password nor a wrong address of the operator is the caller's fault."""
    extra = identity.authtoken(http_request_max_retries=0, www_authenticate_uri='', **options)
    with service(tmp_path, extra=extra) as api:
        for token in (identity.token('alice'), 'not-a-token'):
            answer = Caller(api, token).request('GET', '/v2/images')
            assert answer.status_code == 503, answer.text
            assert 'wrong' not in answer.text and '127.0.0.1' not in answer.text
        assert Caller(api, None).request('GET', '/v2/images').status_code in (401, 503)
        assert PASSWORD not in api.process.text()


def test_memcached_is_used_where_it_is_named_and_not_missed_when_away(identity, tmp_path):
    extra = identity.authtoken(memcached_servers='127.0.0.1:9')
    with service(tmp_path, extra=extra) as api:
        assert status_of(api, identity.token('alice')) == 200
        assert status_of(api, 'not-a-token') == 401


def test_the_openstack_command_signs_in_by_password(alice, people, identity, tmp_path):
    disk, copy = tmp_path / 'disk.raw', tmp_path / 'copy.raw'
    disk.write_bytes(DATA)
    made = alice.openstack(
        'image',
        'create',
        '--import',
        '--file',
        str(disk),
        '--disk-format',
        'raw',
        '-f',
        'json',
        'by-command',
    )
    assert alice.wait(made['id'])['status'] == 'success'
    shown = alice.openstack('image', 'show', '-f', 'json', 'by-command')
    assert (shown['status'], shown['owner']) == ('active', identity.id_of('project', 'p1'))
    assert 'by-command' in [i['Name'] for i in alice.openstack('image', 'list', '-f', 'json')]
    alice.openstack('image', 'save', '--file', str(copy), 'by-command')
    assert hashlib.sha512(copy.read_bytes()).hexdigest() == SHA512
    done = people['bob'].cli('openstack', 'image', 'show', made['id'])
    assert done.returncode != 0 and 'No Image found' in done.stderr
    done = people['rita'].cli('openstack', 'image', 'delete', made['id'])
    assert done.returncode != 0 and '403' in done.stderr


def test_our_own_command_signs_in_by_password(alice, tmp_path):
    disk = tmp_path / 'disk.raw'
    disk.write_bytes(DATA)
    done = alice.cli(
        'glance-lite', 'import', str(disk), '--name', 'by-kit', '--disk-format', 'raw', '--json'
    )
    assert done.returncode == 0, done.stderr
    assert alice.image(json.loads(done.stdout)['image']['id'])['status'] == 'active'


def test_openstacksdk_finds_the_service_in_the_catalog(alice, api):
    with openstack.connect(**alice.credentials(), region_name='here') as cloud:
        assert cloud.image.get_endpoint().startswith(api.url)
        made = cloud.image.create_image(
            'by-sdk',
            disk_format='raw',
            container_format='bare',
            use_import=True,
            data=DATA,
            wait=True,
            timeout=60,
        )
        assert alice.wait(made.id)['status'] == 'success'
        found = cloud.image.find_image('by-sdk')
        assert (found.status, found.hash_value) == ('active', SHA512)
        assert hashlib.sha512(cloud.image.download_image(found).content).hexdigest() == SHA512
        cloud.image.delete_image(found)
        assert cloud.image.find_image('by-sdk') is None


def test_no_token_and_no_password_is_logged_or_kept(api, people, images):
    """Last in this file: the log and the database have seen everything before."""
    secrets = [who.token.encode() for who in people.values()] + [PASSWORD.encode()]
    places = [path for path in api.folder.rglob('*') if path.is_file() and path != api.config]
    assert api.process.log in places and api.folder / 'db.sqlite' in places
    assert images['private'].encode() in b''.join(path.read_bytes() for path in places)
    assert 'keystoneauth' in api.process.text()
    for path, secret in itertools.product(places, secrets):
        assert secret not in path.read_bytes(), path
    for who in people.values():
        for answer in (
            who.request('GET', '/v2/images'),
            requests.get(api.url, headers={'X-Auth-Token': who.token}, timeout=30),
        ):
            assert who.token not in answer.text and who.token not in str(answer.headers)
