# SPDX-License-Identifier: Apache-2.0
"""The quick start: a whole service on loopback, and one disk image that goes through it.

Sequence: a folder with a configuration, the service as a child process, an image (given or made),
its import with phases and progress, how to look at it, and then the service until Ctrl-C. With
``GLANCE_LITE_QUICKSTART_EXIT=1`` it stops after the import; exit status 0 only if the image is
active.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from glance_lite.client import importer, report, watch
from glance_lite.client.display import Display
from glance_lite.client.errors import ClientError, ServiceRefused
from glance_lite.client.local_service import HOST, LocalService
from glance_lite.client.service import connect
from glance_lite.testing import images as sample_images

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the quick start and return its exit status."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    # the child and the requests to it are on this host, whatever proxy the others use
    os.environ['NO_PROXY'] = os.environ['no_proxy'] = HOST
    once = os.environ.get('GLANCE_LITE_QUICKSTART_EXIT') == '1'
    with LocalService(Path(args.folder)) as service:
        try:
            return _run(service, args.source, once)
        except ClientError as problem:
            _say(f'quickstart: {problem.message}')
            return problem.exit_status
        except KeyboardInterrupt:
            _say('\nStopping the service.')
            return _INTERRUPTED


def _run(service: LocalService, source: str | None, once: bool) -> int:
    if source is not None and not importer.is_url(source) and not Path(source).is_file():
        raise ClientError(f'There is no file {source}.')
    service.prepare()
    _say(f'Starting the service; everything of it is in {service.folder}')
    service.start()
    _say(f'It listens on {service.url} and logs to {service.log_path}')
    if source is None:
        source = _sample(service.folder)
    outcome = _import(service, source)
    active = outcome is not None and outcome.is_active
    if outcome is not None:
        _say(_look_at(service, outcome) if active else service.log_tail())
    if once:
        return 0 if active else 1
    _say('\nThe service goes on until Ctrl-C.')
    try:
        service.wait()
    except KeyboardInterrupt:
        _say('\nStopping the service. Its data is kept for the next time.')
        return 0 if active else 1
    raise ClientError(f'The service ended by itself.\n{service.log_tail()}')


def _sample(folder: Path) -> str:
    """Make the sample disk, once, and return its path."""
    path = folder / 'sample-disk.qcow2'
    if not path.exists():
        partial = path.with_suffix('.partial')
        sample_images.write_qcow2(partial, data_bytes=24 << 20)
        partial.rename(path)
        _say(f'Made a disk image with a partition table: {path}')
    return str(path)


def _import(service: LocalService, source: str) -> watch.Outcome | None:
    """Import as ``glance-lite import`` does. None if the service refused the request."""
    display = Display(sys.stderr)
    api = connect(service.url)
    run = importer.Importer(api, display)
    _say('\n' + _commands(service).line('import', source))
    try:
        run.start(importer.Order(source))
    except ServiceRefused as refusal:
        display.end_phase(failed=True)
        _say(f'The service refused: {refusal.message}')
        _explain(service, source, refusal.code, refusal.message)
        return None
    assert run.image_id is not None
    outcome = watch.follow(api, run.image_id, run.task_id, display)
    if outcome.is_active and outcome.image is not None:
        _say('\n' + report.image_table(outcome.image))
    else:
        _say(report.failure(outcome, run.image_id, _commands(service)))
        _explain(service, source, outcome.error.get('code'), outcome.message)
    return outcome


def _explain(service: LocalService, source: str, code: object, message: str) -> None:
    """Say what to do where a URL was refused by the filter."""
    refused = code == 'filtered_uri' or 'import_filtering_opts' in message
    if importer.is_url(source) and refused:
        _say(
            'The service downloads by itself, so it does not fetch from private addresses or '
            'unusual\nports unless its operator permits them. Here that is you: name the network '
            '(permitted_networks)\nor the port (allowed_ports) in [import_filtering_opts] of '
            f'{service.import_conf}\nand run ./quickstart again. Or download the file and give '
            'its path.'
        )


def _look_at(service: LocalService, outcome: watch.Outcome) -> str:
    """Return the commands to look at the result with."""
    assert outcome.image is not None
    image_id, openstack = outcome.image['id'], shlex.quote(_program('openstack'))
    lines = [
        'Look at it from another terminal, in this folder:',
        f'    export OS_AUTH_TYPE=none OS_ENDPOINT={service.url}',
        f'    {openstack} image list',
        f'    {openstack} image show {image_id}',
        f'    {openstack} image save --file copy.{outcome.image["disk_format"]} {image_id}',
        f'    curl {service.url}/v2/images/{image_id}/tasks',
        'Import another one:',
        f'    {_commands(service).line("import")} FILE_OR_URL',
        f'The import plugins are chosen in {service.import_conf}',
    ]
    return '\n' + '\n'.join(lines)


def _commands(service: LocalService) -> report.Commands:
    return report.Commands(service.url, program=_program('glance-lite'))


def _program(name: str) -> str:
    """Return how to call a program of this environment from a shell in this folder."""
    path = Path(sys.executable).parent / name
    found = shutil.which(name)
    if not path.exists() or (found and Path(found) == path):
        return name
    inside = path.is_relative_to(Path.cwd())
    return str(path.relative_to(Path.cwd()) if inside else path)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='quickstart', description='Start an image service of your own and import one image.'
    )
    parser.add_argument(
        'source', nargs='?', metavar='FILE|URL', help='what to import (default: a disk made here)'
    )
    parser.add_argument(
        '--folder', default='var/quickstart', help='where everything is kept (default: %(default)s)'
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
