# SPDX-License-Identifier: Apache-2.0
"""The page "Bring your own image", word for word: its commands, and what it says they answer.

The page has addresses and ids of its own; the ids that the service gives take their place in what
comes after.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glance_lite.testing import images as samples
from tests.functional.processes import wait_for
from tests.functional.service import LOCAL_SOURCES, Service, service
from tests.task_failures import Source

PAGE = Path(__file__).resolve().parents[2] / 'doc/source/user/bring-your-own-image.rst'
SOURCE = 'https://images.example.org'
UUID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')
FINAL = ('success', 'failure')


class Reader:
    """Does what the page says, in its order."""

    def __init__(self, found: Service, source: Source) -> None:
        self.service, self.source = found, source
        self.known: dict[str, str] = {}
        bin_directory = str(Path(sys.executable).parent)
        self._environment = {
            'PATH': f'{bin_directory}{os.pathsep}{os.environ["PATH"]}',
            'HOME': str(found.folder),
            'IMAGE_API': found.url,
            'TOKEN': 'any',
        }

    def run(self, *command: str, **extra: str) -> str:
        """Run a command that must succeed, with a terminal as its input; return its output."""
        terminal, end = pty.openpty()
        try:
            done = subprocess.run(
                command,
                stdin=end,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                cwd=self.service.folder,
                env=self._environment | extra,
            )
        finally:
            os.close(terminal)
            os.close(end)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def type_in(self, command: str, answer: str) -> None:
        """Run a command of the page, and see that it answers as the page says."""
        extra = {'OS_AUTH_TYPE': 'none', 'OS_ENDPOINT': self.service.url}
        if command.startswith('glance '):
            extra = {'OS_IMAGE_URL': self.service.url, 'OS_AUTH_TOKEN': 'any'}
        if '"success"' in answer or '"message"' in answer:  # asked for until it is final
            self.wait(self.real(UUID.findall(command)[0]))
        said = self.run('bash', '-c', self.real(command), **extra)
        self.compare(answer, said, command)

    def compare(self, answer: str, said: str, command: str) -> None:
        """See that each line of an answer has its like in what was said, and learn its ids."""
        said = said.replace(f'http://{self.source.host}', SOURCE).replace('/stops', '/slow.raw')
        lines = [' '.join(line.split()) for line in said.splitlines()]
        for expected in answer.splitlines():
            found = [match for line in lines if (match := self.pattern(expected).search(line))]
            assert found, f'{command}\n{expected}\n{said}'
            self.known |= found[0].groupdict() and {
                name[1:].replace('_', '-'): value for name, value in found[0].groupdict().items()
            }

    def pattern(self, expected: str) -> re.Pattern[str]:
        """Return what matches a line of the page; ids that are new to it are groups."""
        parts: list[str] = []
        new: set[str] = set()
        for part in re.split(f'({UUID.pattern})', expected):
            if not UUID.fullmatch(part):
                parts.append(re.escape(part).replace('…', '.*'))
            elif part in self.known or part in new:
                parts.append(self.known.get(part) or f'(?P={_group(part)})')
            else:
                new.add(part)
                parts.append(f'(?P<{_group(part)}>{UUID.pattern})')
        return re.compile(''.join(parts))

    def real(self, text: str) -> str:
        """Return a command, or a program, with the addresses and ids of this run."""
        text = text.replace(f'{SOURCE}/slow.raw', f'{SOURCE}/stops')
        text = text.replace(SOURCE, f'http://{self.source.host}')
        return UUID.sub(lambda match: self.known[match[0]], text)

    def wait(self, task_id: str) -> dict[str, Any]:
        """Wait for the end of a task; return it."""
        path = f'/v2/tasks/{task_id}?wait=5'
        wait_for(
            lambda: self.service.request('GET', path).json()['status'] in FINAL, 60, 'a final task'
        )
        found: dict[str, Any] = self.service.request('GET', path).json()
        return found


def _group(uuid: str) -> str:
    return 'g' + uuid.replace('-', '_')


def blocks() -> Iterator[tuple[str, str]]:
    """Give the language and the text of each block of the page."""
    pattern = r'^\.\. code-block:: (\w+)\n\n((?:   .*\n|\n)+)'
    for language, text in re.findall(pattern, PAGE.read_text(), re.MULTILINE):
        yield language, textwrap.dedent(text).strip('\n')


def transcript(text: str) -> Iterator[tuple[str, str]]:
    """Give each command of a transcript with its answer."""
    for step in re.split(r'^\$ ', text, flags=re.MULTILINE)[1:]:
        lines = step.splitlines()
        count = 1
        while count < len(lines) and lines[count].startswith('    '):
            count += 1
        yield '\n'.join(lines[:count]), '\n'.join(lines[count:])


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[Source]:
    source = Source(directory)
    disk = samples.write_qcow2(directory / 'debian.qcow2').read_bytes()
    source.bodies['/debian.qcow2'] = disk
    (directory / 'debian.qcow2').unlink()
    threading.Thread(target=source.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield source
    finally:
        source.gate.set()
        source.shutdown()
        source.server_close()


@pytest.fixture(scope='module')
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp('bring')
    with serving(folder) as source, service(folder, extra=LOCAL_SOURCES) as found:
        yield Reader(found, source)


def test_every_command_of_the_page_answers_as_it_says(reader: Reader) -> None:
    count = 0
    for language, text in blocks():
        if language == 'python':
            said = reader.run(
                sys.executable,
                '-c',
                reader.real(text),
                OS_AUTH_TYPE='none',
                OS_ENDPOINT=reader.service.url,
            )
            assert said.endswith(' active\n')
            count += 1
        for command, answer in transcript(text) if language == 'text' else ():
            reader.type_in(command, answer)
            count += 1
    assert count >= 20

    # and what the page promises came about
    disk = reader.source.bodies['/debian.qcow2']
    assert (reader.service.folder / 'debian.qcow2').read_bytes() == disk
    tasks = reader.service.request('GET', '/v2/tasks?limit=100').json()['tasks']
    ended = [reader.wait(task['id']) for task in tasks]
    failed = [task for task in ended if task['status'] == 'failure']
    assert sorted(task['error']['code'] for task in failed) == [
        'cancelled',
        'format_mismatch',
        'source_http_error',
    ]
    images = reader.service.request('GET', '/v2/images').json()['images']
    assert sorted(image['name'] for image in images) == [
        'debian',
        'debian from glance',
        'debian from the SDK',
        'debian imported',
        'debian imported by the SDK',
        'debian sent',
        'debian via import',
    ]
    assert {image['status'] for image in images} == {'active'}
    assert reader.service.files('staging') == []
