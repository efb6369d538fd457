# SPDX-License-Identifier: Apache-2.0
"""The folder and the configuration of a service of one's own."""

import socket
from pathlib import Path

import pytest

from glance_lite.client.errors import ClientError
from glance_lite.client.local_service import LocalService


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'quick start'


def test_the_configuration_is_in_the_folder_and_names_it(folder):
    with LocalService(folder) as service:
        service.prepare()
        written = service.api_conf.read_text()
        assert f'node_staging_uri = file://{folder}/staging' in written
        assert f'filesystem_store_datadir = {folder}/images' in written
        assert f'bind_port = {service.port}' in written
        assert service.url == f'http://127.0.0.1:{service.port}'
        assert 'inject_image_metadata' in service.import_conf.read_text()


def test_what_the_user_changed_is_kept(folder):
    with LocalService(folder) as service:
        service.prepare()
    service.import_conf.write_text('[image_import_opts]\nimage_import_plugins = []\n')
    service.api_conf.write_text(service.api_conf.read_text() + '\n[DEFAULT]\ndebug = true\n')
    with LocalService(folder) as again:
        again.prepare()
        assert 'image_import_plugins = []' in again.import_conf.read_text()
        assert 'debug = true' in again.api_conf.read_text()


def test_a_folder_that_was_moved_is_configured_anew(folder, tmp_path):
    with LocalService(folder) as service:
        service.prepare()
    folder.rename(tmp_path / 'elsewhere')
    with LocalService(tmp_path / 'elsewhere') as moved:
        moved.prepare()
        assert str(folder) not in moved.api_conf.read_text()


def test_a_port_that_is_taken_is_replaced_in_the_configuration(folder):
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        taken = other.getsockname()[1]
        with LocalService(folder) as service:
            service.prepare()
        text = service.api_conf.read_text()
        service.api_conf.write_text(text.replace(str(service.port), str(taken)))
        with LocalService(folder) as again:
            again.prepare()
            assert again.port != taken
            assert f'bind_port = {again.port}\n' in again.api_conf.read_text()


def test_two_services_cannot_share_a_folder(folder):
    with LocalService(folder) as one:
        one.prepare()
        with LocalService(folder) as other:
            with pytest.raises(ClientError, match='Another quick start is running'):
                other.prepare()
    with LocalService(folder) as later:
        later.prepare()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / 'file').touch()
    with LocalService(tmp_path / 'file') as service:
        with pytest.raises(ClientError, match='Cannot use the folder'):
            service.prepare()


def test_complaints_are_picked_from_the_log(folder):
    service = LocalService(folder)
    folder.mkdir()
    service.log_path.write_text(
        '2026-01-01 10:00:00.123 77 INFO glance_lite.x [-] GET / 200\n'
        '2026-01-01 10:00:00.124 77 WARNING glance_lite.x [-] It failed\n'
        'Traceback (most recent call last):\n  File "x.py", line 1\nOSError: no space\n'
        '2026-01-01 10:00:00.125 77 INFO glance_lite.x [-] GET / 200\n'
    )
    assert service.log_tail().splitlines()[1:] == [
        '    2026-01-01 10:00:00.124 77 WARNING glance_lite.x [-] It failed',
        '    OSError: no space',
    ]


def test_a_log_without_complaints_shows_its_end(folder):
    service = LocalService(folder)
    folder.mkdir()
    service.log_path.write_text('2026-01-01 10:00:00.123 77 INFO glance_lite.x [-] GET / 200\n')
    assert 'GET / 200' in service.log_tail()


def test_without_a_log_its_place_is_told():
    assert LocalService(Path('/nowhere')).log_tail() == ('From the log, /nowhere/glance-lite.log:')
