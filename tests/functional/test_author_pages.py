# SPDX-License-Identifier: Apache-2.0
"""The author's three pages (write, test, ship), command by command, then the service with it.

The commands run in an environment of their own, into which the new plugin is really installed.
"""

import os
import re
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from glance_lite.testing import images
from tests.functional.processes import Process, free_port
from tests.functional.service import Service, wait_until_up, write_config

PAGES = Path(__file__).resolve().parents[2] / 'doc/source/plugins'
NAMES = ('write', 'test', 'ship')
PROGRAMS = {'glance-lite-plugins': 'glance_lite.cmd.plugins', 'pytest': 'pytest'}


def blocks(page):
    """Return the indented text of each code block of a page, with its language."""
    text = (PAGES / f'{page}.rst').read_text()
    found = re.findall(r'^\.\. code-block:: (\w+)\n\n((?:   .*\n|\n)+)', text, re.MULTILINE)
    return [(language, re.sub(r'^   ', '', body, flags=re.MULTILINE)) for language, body in found]


def steps(page):
    """Give the commands of a page, each with the output that it shows, and the texts of files."""
    for language, body in blocks(page):
        if language == 'ini':
            yield 'file', body
        elif language == 'console':
            for part in re.split(r'^\$ ', body, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition('\n')
                yield command, shown.rstrip()


class Workplace:
    """A folder with an environment that has what this one has, and what is installed into it."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = folder / 'environment'
        venv.create(self.environment, with_pip=False)
        self.python = self.environment / 'bin/python'
        version = f'python{sys.version_info.major}.{sys.version_info.minor}'
        packages = self.environment / 'lib' / version / 'site-packages'
        lines = [f'import site; site.addsitedir({path!r})\n' for path in site.getsitepackages()]
        (packages / 'of-the-tests.pth').write_text(''.join(lines))
        for name, module in PROGRAMS.items():
            self._script(name, f'exec {self.python} -m {module} "$@"')
        self._script('pip', f'exec {sys.executable} -m pip --python {self.python} "$@"')

    def _script(self, name, line):
        path = self.environment / 'bin' / name
        path.write_text(f'#!/bin/sh\n{line}\n')
        path.chmod(0o755)

    @property
    def variables(self):
        """What programs see of the environment."""
        return {
            **os.environ,
            'PATH': f'{self.environment}/bin:{os.environ["PATH"]}',
            'XDG_CACHE_HOME': str(self.folder / 'cache'),
            'PIP_DISABLE_PIP_VERSION_CHECK': '1',
            'PYTEST_ADDOPTS': '-p no:cacheprovider',
        }

    def run(self, command):
        """Run a command as a shell does; return what it prints."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f'{command}\n{done.stdout}\n{done.stderr}'
        return done.stdout


@pytest.fixture
def workplace(tmp_path):
    found = Workplace(tmp_path)
    write_config(tmp_path, free_port(), f'sqlite:///{tmp_path}/db.sqlite', '')
    images.write_qcow2(tmp_path / 'disk.qcow2')
    yield found
    shutil.rmtree(found.environment)


def check_shown(output, shown):
    """See that the lines of a page are in the output; ``...`` stands for anything."""
    for line in shown.splitlines():
        pattern = '.*'.join(re.escape(part) for part in line.strip().split('...'))
        assert re.search(pattern, output), f'{line!r} is not in\n{output}'


def test_every_command_does_what_the_pages_say_and_then_the_plugin_runs(workplace):
    ran = []
    for page in NAMES:
        for command, shown in steps(page):
            if command == 'file':
                if page == 'ship':
                    (workplace.folder / 'glance-image-import.conf').write_text(shown)
                continue
            check_shown(workplace.run(command), shown)
            ran.append(command)
    assert len(ran) == sum((PAGES / f'{page}.rst').read_text().count(' $ ') for page in NAMES)
    picture = (workplace.folder / 'flow.svg').read_text()
    assert 'run-plugin:size_limit' in picture
    check_service(workplace)


def check_service(workplace):
    """Start the service where nothing but a package and a line of conf was added, and import."""
    config = workplace.folder / 'glance-api.conf'
    port = int(re.search(r'bind_port = (\d+)', config.read_text())[1])
    arguments = [str(workplace.python), '-m', 'glance_lite.cmd.api', '--config-file', str(config)]
    arguments += ['--config-file', str(workplace.folder / 'glance-image-import.conf')]
    process = Process(arguments, workplace.folder / 'service.log', workplace.variables)
    try:
        api = Service(workplace.folder, port, process)
        wait_until_up(api)
        image_id = api.create(disk_format='qcow2')
        api.put(image_id, (workplace.folder / 'disk.qcow2').read_bytes())
        assert api.post_import(image_id).status_code == 202
        task = api.wait(image_id)
        assert task['status'] == 'success', task
        [receipt] = task['receipts']
        assert (receipt['plugin'], receipt['outcome']) == ('size_limit', 'passed')
        assert receipt['distribution'] == 'glance-lite-size-limit'
        assert receipt['note'].endswith('of at most 10240 MiB')
    finally:
        process.stop()
