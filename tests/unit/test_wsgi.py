# SPDX-License-Identifier: Apache-2.0
"""The module that outside WSGI servers load."""

from __future__ import annotations

from pathlib import Path

import pytest
import webob

from glance_lite import wsgi


def test_where_the_configuration_comes_from(tmp_path: Path) -> None:
    (tmp_path / 'glance-api.conf').touch()
    api = str(tmp_path / 'glance-api.conf')
    assert wsgi.config_files({'OS_GLANCE_CONFIG_DIR': str(tmp_path)}) == [api]
    (tmp_path / 'glance-image-import.conf').touch()
    both = [api, str(tmp_path / 'glance-image-import.conf')]
    assert wsgi.config_files({'OS_GLANCE_CONFIG_DIR': str(tmp_path)}) == both
    named = {'OS_GLANCE_CONFIG_DIR': str(tmp_path), 'OS_GLANCE_CONFIG_FILES': '/a.conf:/b.conf'}
    assert wsgi.config_files(named) == ['/a.conf', '/b.conf']


def test_it_is_built_when_it_is_first_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'glance-api.conf'
    path.write_text(
        f'[DEFAULT]\nnode_staging_uri = file://{tmp_path}/staging\n'
        f'[glance_store]\nfilesystem_store_datadir = {tmp_path}/store\n'
        f'[database]\nconnection = sqlite:///{tmp_path}/db.sqlite\n'
    )
    monkeypatch.setenv('OS_GLANCE_CONFIG_FILES', str(path))
    application = wsgi.LazyApplication()
    assert not (tmp_path / 'db.sqlite').exists()
    for _ in range(2):
        assert webob.Request.blank('/v2/images').get_response(application).status_int == 200
    assert (tmp_path / 'db.sqlite').exists()
    assert len(application._built) == 1
