# SPDX-License-Identifier: Apache-2.0
"""Lessons of the field's advisories: what images hold, what is fetched, what imports inject.

The number in a name is the row on the page ``contributor/security``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import webob

import glance_lite
from glance_lite.testing import hostile
from tests.origin import PERMIT, Origin

from .conftest import Api, error
from .test_copy_image import run

MEMBER = 'p1:member,reader'
WAYS = ('upload', 'glance-direct', 'web-download', 'location')
BACKED = hostile.qcow2_header(backing_offset=512, tail=b'/etc/passwd')
#: A disk whose data is in another file, and one with a feature that nobody knows.
ELSEWHERE = hostile.qcow2_header(features=1 << 2)
UNKNOWN = hostile.qcow2_header(features=1 << 40)


@pytest.fixture(scope='module')
def origin() -> Iterator[Origin]:
    with Origin.serving() as served:
        yield served


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api(PERMIT, stores='fast:file, cold:file, web:http')


def bring(api: Api, origin: Origin, way: str, data: bytes, **attributes: Any) -> tuple[str, str]:
    """Give a new image this data; return its path and what is said of it."""
    path = api.create(**{'container_format': 'bare', **attributes})
    answer: webob.Response
    if way == 'upload':
        answer = api.call('PUT', path + '/file', data)
        return path, answer.text
    if way == 'glance-direct':
        answer = api.call('PUT', path + '/stage', data)
        if answer.status_int != 204:
            return path, answer.text
        body = {'method': {'name': way}}
        answer = api.call('POST', path + '/import', body)
    elif way == 'web-download':
        body = {'method': {'name': way, 'uri': origin.publish(data)}}
        answer = api.call('POST', path + '/import', body)
    else:
        answer = api.call('POST', path + '/locations', {'url': origin.publish(data)})
    assert answer.status_int == 202, answer.text
    run(api)
    return path, api.get(path).text + api.get(path + '/tasks').text


def check_refused(api: Api, path: str, told: str, code: str) -> None:
    """See that nobody gets the data, and that the service keeps none of it."""
    image = api.get(path).json
    assert code in told, told
    assert image['status'] in ('queued', 'deactivated')
    assert api.stored_files() == api.staged_files() == []
    answer = api.get(path + '/file', caller=MEMBER)
    assert answer.status_int in (204, 403) and b'QFI' not in answer.body


@pytest.mark.parametrize('way', WAYS)
def test_f11_a_disk_over_another_file_is_refused(api: Api, origin: Origin, way: str) -> None:
    path, told = bring(api, origin, way, BACKED, disk_format='qcow2')
    check_refused(api, path, told, 'unsafe_image')
    assert '/etc/passwd' not in told


def test_f14_a_program_that_works_on_images_has_limits() -> None:
    """Only what sets them, or handles no image, starts programs at all."""
    package = Path(glance_lite.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob('*.py')
        if re.search(r'\b(subprocess|posix_spawn|os\.exec|os\.system)', path.read_text())
    }
    assert found == {
        'image_import/limited_program.py',
        'plugin/isolation.py',  # plugins, under limits
        'supervisor.py',  # its own workers
        'client/local_service.py',  # a service for the quick start
    }


@pytest.mark.parametrize('way', WAYS)
def test_f16_a_disk_that_describes_files_of_the_host_is_refused(
    api: Api, origin: Origin, way: str
) -> None:
    flat = hostile.vmdk('monolithicFlat', 'RW 131072 FLAT "/etc/passwd" 0')
    for data in (flat, hostile.vmdk_text().encode()):
        path, told = bring(api, origin, way, data, disk_format='vmdk')
        check_refused(api, path, told, 'unsafe_image')
        assert '/etc/passwd' not in told


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('data', [ELSEWHERE, UNKNOWN], ids=['data file', 'unknown feature'])
def test_f17_a_disk_with_its_data_elsewhere_is_refused(
    api: Api, origin: Origin, way: str, data: bytes
) -> None:
    path, told = bring(api, origin, way, data, disk_format='qcow2')
    check_refused(api, path, told, 'unsafe_image')


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('data', [BACKED, ELSEWHERE], ids=['backing file', 'data file'])
def test_f18_it_is_refused_when_it_is_declared_raw_too(
    api: Api, origin: Origin, way: str, data: bytes
) -> None:
    path, told = bring(api, origin, way, data, disk_format='raw')
    check_refused(api, path, told, 'unsafe_image')


@pytest.mark.parametrize('way', WAYS)
def test_f18_a_safe_disk_that_is_declared_raw_is_marked(api: Api, origin: Origin, way: str) -> None:
    for data, declared, mark in (
        (hostile.qcow2_header(), 'raw', 'qcow2'),
        (hostile.qcow2_header(), 'qcow2', None),
        (hostile.gpt(), 'raw', None),
        (bytes(4096), 'raw', None),
    ):
        path, told = bring(api, origin, way, data, disk_format=declared)
        image = api.get(path).json
        assert image['status'] == 'active', told
        assert image.get('os_glance_content_format') == mark
    marked = api.get('/v2/images?os_glance_content_format=qcow2').json['images']
    assert [image['disk_format'] for image in marked] == ['raw']


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('container', ['ova', 'ovf', 'docker', 'compressed'])
def test_f30d_no_container_switches_the_inspection_off(
    api: Api, origin: Origin, way: str, container: str
) -> None:
    attributes = {'disk_format': 'qcow2', 'container_format': container}
    path, told = bring(api, origin, way, BACKED, **attributes)
    check_refused(api, path, told, 'unsafe_image')


@pytest.mark.parametrize('way', ['glance-direct', 'web-download'])
def test_f28_an_archive_is_a_bomb_for_nobody_and_its_names_mean_nothing(
    make_api: Callable[..., Api], origin: Origin, way: str
) -> None:
    plugin = '[image_import_opts]\nimage_import_plugins = image_decompression\n'
    limit = '[image_decompression]\nmax_size = 1048576\n'
    api = make_api(PERMIT + plugin + limit)
    refused = [
        (hostile.bomb('gzip', 8), 'too_large'),
        (hostile.bomb('zip', 8), 'too_large'),
        (hostile.zipped({'a': b'1', 'b': b'2'}), 'plugin_rejected'),
    ]
    for data, code in refused:
        path, told = bring(api, origin, way, data, disk_format='raw')
        check_refused(api, path, told, code)
    path, _ = bring(api, origin, way, hostile.zipped({'../../x': b'disk'}), disk_format='raw')
    assert api.get(path + '/file').body == b'disk'


INSIDE = [
    'http://127.0.0.1/x', 'http://10.0.0.1/x', 'http://192.168.1.1/x', 'http://172.16.0.1/x',
    'http://169.254.169.254/latest', 'http://[::1]/x', 'http://[::ffff:10.0.0.1]/x',
    'http://[fe80::1]/x', 'http://[fd00::1]/x', 'http://2130706433/x', 'http://0x7f000001/x',
    'http://0177.0.0.1/x', 'http://127.1/x', 'http://0/x', 'http://0.0.0.0/x',
    'http://224.0.0.1/x', 'http://1.1.1.1:22/x', 'http://1.1.1.1@127.0.0.1/x',
    'http://127.0.0.1#@1.1.1.1/x', 'http://127.0.0.1\\@1.1.1.1/x', 'https:///x', '//127.0.0.1/x',
]  # fmt: skip


@pytest.mark.parametrize('url', INSIDE)
def test_f19_no_call_fetches_from_the_inside_of_the_cloud(
    make_api: Callable[..., Api], url: str
) -> None:
    """Imports, tasks and locations alike, however the address is written."""
    api = make_api(stores='fast:file, cold:file, web:http')
    path = api.create(disk_format='raw', container_format='bare')
    task = {'import_from': url, 'import_from_format': 'raw', 'image_properties': {}}
    answers = [
        api.call('POST', path + '/import', {'method': {'name': 'web-download', 'uri': url}}),
        api.call('POST', '/v2/tasks', {'type': 'import', 'input': task}),
        api.call('POST', path + '/locations', {'url': url}),
    ]
    for answer in answers:
        assert answer.status_int in (400, 403), answer.text
    assert error(answers[0]) == (400, 'filtered_uri')
    assert api.get(path).json['status'] == 'queued'
    assert api.get('/v2/tasks').json['tasks'] == []


#: Says nothing of the service's own names, and lets only the operator write ``licence``.
PROTECTIONS = """\
[^licence$]
create = operator
read = @
update = operator
delete = operator

[^mine]
create = @
read = @
update = @
delete = @
"""
INJECT = (
    '[image_import_opts]\nimage_import_plugins = [inject_image_metadata]\n'
    '[inject_metadata_properties]\ninject = "licence":"paid"\n'
)


def guarded(make_api: Callable[..., Api], tmp_path: Path) -> Api:
    file = tmp_path / 'protections.conf'
    file.write_text(PROTECTIONS)
    return make_api(f'[DEFAULT]\nproperty_protection_file = {file}\n{INJECT}')


def imported(api: Api, caller: str) -> dict[str, Any]:
    path = api.create(caller=caller, disk_format='raw', container_format='bare')
    assert api.call('PUT', path + '/stage', b'data', caller=caller).status_int == 204
    body = {'method': {'name': 'glance-direct'}}
    assert api.call('POST', path + '/import', body, caller=caller).status_int == 202
    during = api.get(path, caller=caller).json
    assert during['os_glance_import_task'] and during['os_glance_importing_to_stores'] == 'fast'
    assert run(api) == 1
    image: dict[str, Any] = api.get(path, caller=caller).json
    return image


def test_f27_protections_that_do_not_name_the_services_own_properties_break_no_import(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    image = imported(guarded(make_api, tmp_path), MEMBER)
    assert image['status'] == 'active'
    assert not [name for name in image if name.startswith('os_glance')]


def test_f30_what_imports_inject_is_out_of_the_reach_of_users(
    make_api: Callable[..., Api], tmp_path: Path
) -> None:
    api = guarded(make_api, tmp_path)
    answer = api.call('POST', '/v2/images', {'licence': 'free'}, caller=MEMBER)
    assert error(answer) == (403, 'forbidden')
    image = imported(api, MEMBER)
    assert image['licence'] == 'paid'
    path = '/v2/images/' + image['id']
    for op in ('add', 'replace', 'remove'):
        change = [{'op': op, 'path': '/licence', 'value': 'free'}]
        assert error(api.call('PATCH', path, change, caller=MEMBER)) == (403, 'forbidden')
    assert api.get(path).json['licence'] == 'paid'
