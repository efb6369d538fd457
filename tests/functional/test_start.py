# SPDX-License-Identifier: Apache-2.0
"""What the service does when it starts: says what it cannot work with, and stays down."""

import subprocess

import pytest
import requests

from glance_lite.db import schema
from tests import services
from tests.functional.processes import free_port, program, running
from tests.functional.service import Service, service, wait_until_up, write_config

PLUGIN = '''
from taskflow import task


class Scan(task.Task):
    def execute(self):
        raise RuntimeError('virus found')


def get_flow(**kwargs):
    return Scan('scan')
'''


def start(folder, *args, env=None):
    """Start the API, which is expected to give up; return what it said and its exit status."""
    with running(
        [program('glance-lite-api'), '--config-file', str(folder / 'glance-api.conf'), *args],
        folder / 'start.log',
        env,
    ) as process:
        status = process.popen.wait(60)
        return process.text(), status


def install_plugin(folder):
    """Install a distribution with one plugin, as pip would lay it down, in a folder."""
    info = folder / 'site' / 'scanner-1.0.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: scanner\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(
        '[glance.image_import.plugins]\nscan = scanner:get_flow\n'
    )
    (folder / 'site' / 'scanner.py').write_text(PLUGIN)
    return folder / 'site'


def test_a_plugin_runs_after_install_conf_line_and_restart_and_stops_the_start_when_removed(
    tmp_path, monkeypatch
):
    site = install_plugin(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(site))
    monkeypatch.setenv('STEVEDORE_CACHE_DISABLE', '1')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    extra = '[image_import_opts]\nimage_import_plugins = [no_op, scan]\n'
    with service(tmp_path, extra=extra) as api:
        image_id = api.create()
        api.put(image_id, b'x' * 1000)
        assert api.post_import(image_id).status_code == 202
        task = api.wait(image_id)
        assert task['status'] == 'failure'
        assert task['message'] == "The plugin 'scan' failed: virus found"
        assert (task['error']['phase'], task['error']['plugin']) == ('run-plugin:scan', 'scan')
        assert api.image(image_id)['status'] == 'uploading'
    (site / 'scanner-1.0.dist-info' / 'entry_points.txt').unlink()
    text, status = start(tmp_path)
    assert status == 78
    assert "there is no plugin 'scan' installed" in text and 'Traceback' not in text
    with pytest.raises(requests.ConnectionError):
        requests.get(api.url, timeout=5)


def test_a_plugin_that_cannot_be_imported_stops_the_start(tmp_path, monkeypatch):
    site = install_plugin(tmp_path)
    (site / 'scanner.py').write_text('import a_module_that_is_not_there\n')
    monkeypatch.setenv('PYTHONPATH', str(site))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    write_config(
        tmp_path,
        free_port(),
        f'sqlite:///{tmp_path}/db.sqlite',
        '[image_import_opts]\nimage_import_plugins = scan\n',
    )
    text, status = start(tmp_path)
    assert status == 78 and "'scan' of scanner cannot be imported" in text
    assert 'a_module_that_is_not_there' in text


@pytest.mark.parametrize(
    ('extra', 'words'),
    [
        ('[DEFAULT]\nbind_host = 0.0.0.0\n', 'allow_unauthenticated_network'),
        ('[image_import_opts]\nimage_import_plugins = no_po\n', "Did you mean 'no_op'"),
        ('[import_filtering_opts]\nallowed_ports = a\n', 'allowed_ports'),
        ('[import_filtering_opts]\npermitted_networks = 300.0.0.0/8\n', 'permitted_networks'),
        ('[DEFAULT]\nnode_staging_uri = http://x/y\n', 'node_staging_uri'),
        ('[DEFAULT]\nhashing_algorithm = md77\n', 'hashing_algorithm'),
        ('[oslo_policy]\npolicy_file = nowhere.yaml\n', 'nowhere.yaml'),
        ('[glance_store]\ndefault_backend = warm\n', 'default_backend'),
    ],
)
def test_what_cannot_work_is_named(tmp_path, extra, words):
    write_config(tmp_path, free_port(), f'sqlite:///{tmp_path}/db.sqlite', extra)
    text, status = start(tmp_path)
    assert status == 78, text
    assert words in text and 'Traceback' not in text


def test_loopback_may_be_left_only_in_as_many_words(tmp_path):
    extra = '[DEFAULT]\nbind_host = 0.0.0.0\n[api]\nallow_unauthenticated_network = true\n'
    with service(tmp_path, extra=extra) as api:
        assert api.request('GET', '/v2/images').status_code == 200


@pytest.mark.parametrize('kind', [kind for kind in services.KINDS if kind != 'sqlite'])
def test_an_old_schema_of_a_server_database_is_refused_with_the_command(tmp_path, kind):
    with services.database(kind, str(tmp_path)) as url:
        port = free_port()
        write_config(tmp_path, port, url, '')
        text, status = start(tmp_path)
        assert status == 78 and 'glance-lite-manage db sync' in text
        manage = [program('glance-lite-manage'), '--config-file', str(tmp_path / 'glance-api.conf')]

        def db(command):
            return subprocess.run(
                [*manage, 'db', command], capture_output=True, text=True, check=False
            )

        assert (db('check').returncode, db('version').stdout) == (1, 'none\n')
        assert db('sync').returncode == 0
        assert (db('check').returncode, db('version').stdout) == (0, f'{schema.head()}\n')
        config = ['--config-file', str(tmp_path / 'glance-api.conf')]
        with running([program('glance-lite-api'), *config], tmp_path / 'log') as process:
            wait_until_up(Service(tmp_path, port, process))


def test_the_folder_of_an_embedded_database_is_made(tmp_path):
    with service(tmp_path, f'sqlite:///{tmp_path}/not/there/yet/db.sqlite') as api:
        assert api.request('GET', '/v2/images').status_code == 200


def test_a_database_that_is_away_is_told_without_its_password(tmp_path):
    write_config(
        tmp_path,
        free_port(),
        'mysql+pymysql://root:sesame@127.0.0.1:1/x',
        '[database]\nmax_retries = 1\nretry_interval = 1\n',
    )
    text, status = start(tmp_path)
    assert status == 78 and 'sesame' not in text and 'Traceback' not in text
    assert 'cannot be used' in text and '127.0.0.1' in text


def test_import_switched_off_is_as_if_it_were_not_there(tmp_path):
    with service(tmp_path, extra='[DEFAULT]\nenable_image_import = false\n') as api:
        answer = api.request(
            'POST', '/v2/images', json={'disk_format': 'raw', 'container_format': 'bare'}
        )
        assert answer.status_code == 201
        assert 'OpenStack-image-import-methods' not in answer.headers
        image_id = answer.json()['id']
        assert api.put(image_id, b'x').status_code == 404
        assert api.post_import(image_id).status_code == 404
        assert api.request('GET', '/v2/info/import').status_code == 404
        versions = [v['id'] for v in api.request('GET', '/versions').json()['versions']]
        assert 'v2.5' in versions and 'v2.6' not in versions
        assert api.put(image_id, b'x', 'file').status_code == 204


@pytest.mark.parametrize(
    'name',
    [
        'glance-lite-api',
        'glance-lite-conductor',
        'glance-lite-manage',
        'glance-lite',
    ],
)
def test_every_program_has_help(name):
    done = subprocess.run([program(name), '--help'], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'usage' in done.stdout.lower()
    assert 'Traceback' not in done.stderr and 'Deprecat' not in done.stderr
