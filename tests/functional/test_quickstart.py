# SPDX-License-Identifier: Apache-2.0
"""The quick start as a newcomer runs it, with its service as real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

QUICKSTART = [sys.executable, '-m', 'glance_lite.cmd.quickstart']


def environment(once):
    return {**os.environ, 'GLANCE_LITE_QUICKSTART_EXIT': '1' if once else '0'}


@pytest.fixture
def run(tmp_path):
    """Run the quick start to its end and return its result."""

    def call(*arguments):
        return subprocess.run(
            [*QUICKSTART, '--folder', str(tmp_path / 'folder'), *map(str, arguments)],
            env=environment(once=True),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return call


def test_it_imports_a_disk_of_its_own_and_stops(run, tmp_path):
    result = run()
    assert result.returncode == 0, result.stderr
    for phase in ('stage', 'verify-staged', 'run-plugin:inject_image_metadata', 'activate-image'):
        assert f'  {phase}' in result.stderr
    assert re.search(r'imported_by +glance_lite quick start', result.stderr)
    assert 'image list' in result.stderr
    assert not answers(address(result.stderr))
    assert not [path for path in (tmp_path / 'folder' / 'staging').rglob('*') if is_data(path)]


def test_the_next_run_keeps_what_was_there(run, tmp_path):
    first, second = run(), run()
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    stored = [path for path in (tmp_path / 'folder' / 'images').rglob('*') if is_data(path)]
    assert len(stored) == 2


def test_a_file_of_the_user_is_imported(run, tmp_path):
    path = tmp_path / 'my disk.raw'
    path.write_bytes(os.urandom(1 << 20))
    result = run(path)
    assert result.returncode == 0, result.stderr
    assert re.search(r'name +my disk', result.stderr)


def test_a_missing_file_is_said_before_anything_starts(run, tmp_path):
    result = run(tmp_path / 'absent')
    assert result.returncode == 1
    assert 'There is no file' in result.stderr
    assert not (tmp_path / 'folder').exists()


def test_a_private_url_is_refused_with_the_option_that_permits_it(run):
    result = run('http://127.0.0.1:1/disk.qcow2')
    assert result.returncode == 1
    assert 'permitted_networks' in result.stderr and 'glance-image-import.conf' in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_plugin_that_is_missing_shows_its_name_and_where_the_log_is(run, tmp_path):
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'glance-image-import.conf').write_text(
        '[image_import_opts]\nimage_import_plugins = [absent_plugin]\n'
    )
    result = run()
    assert result.returncode == 1
    assert 'The service did not start' in result.stderr
    assert 'absent_plugin' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted_and_leaves_no_process(tmp_path, number):
    process = subprocess.Popen(
        [*QUICKSTART, '--folder', str(tmp_path / 'folder')],
        env=environment(once=False),
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ''
    while 'goes on until Ctrl-C' not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    assert answers(address(seen))
    process.send_signal(number)
    seen += process.communicate(timeout=60)[1]
    assert process.returncode == 0, seen
    assert not answers(address(seen))


def address(written):
    """Return the URL that the quick start said it listens on."""
    return re.search(r'It listens on (http://\S+)', written).group(1)


def is_data(path):
    return path.is_file() and not path.name.startswith('.') and path.stat().st_size > 4096


def answers(url):
    """Tell whether the service answers, with a moment's patience for one that stops."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(10):
        try:
            opener.open(f'{url}/healthcheck', timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        time.sleep(0.1)
    return True
