# SPDX-License-Identifier: Apache-2.0
"""``glance-lite``: import a disk image from the command line and watch it.

Parses, calls ``glance_lite.client``, and exits: 0 the image is active (with ``--no-watch``: the
import is accepted), 1 it is not, 2 the command line was wrong, 130 interrupted. Standard output has
the result only; progress and sentences go to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from glance_lite.client import importer, report, text, watch
from glance_lite.client.display import Display
from glance_lite.client.errors import ClientError
from glance_lite.client.service import ImageService, connect

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    args = _parser().parse_args(argv)
    endpoint = args.endpoint or (None if args.os_cloud else os.environ.get('GLANCE_LITE_ENDPOINT'))
    commands = report.Commands(args.endpoint, args.os_cloud)
    display = Display(sys.stderr)
    run: importer.Importer | None = None
    try:
        service = connect(endpoint, args.os_cloud)
        run = importer.Importer(service, display)
        return args.action(args, service, run, display, commands)
    except KeyboardInterrupt:
        display.end_phase(failed=run is not None and run.step == 'stage')
        print(_interrupted(run, args, commands), file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        return 1
    except ClientError as problem:
        display.end_phase(failed=True)
        print(f'glance-lite: {problem.message}', file=sys.stderr)
        if run is not None and run.image_id and args.action is _import:
            print(_left_behind(run, args, commands), file=sys.stderr)
        if args.json:
            _print_json(report.problem_document(problem, run.image_id if run else None))
        return problem.exit_status


def _import(
    args: argparse.Namespace,
    service: ImageService,
    run: importer.Importer,
    display: Display,
    commands: report.Commands,
) -> int:
    order = importer.Order(
        source=args.source,
        name=args.name,
        disk_format=args.disk_format,
        container_format=args.container_format,
        visibility=args.visibility,
        tags=tuple(args.tag),
        properties=dict(args.property),
        stores=tuple(args.store),
        expected_hash=args.hash,
    )
    run.start(order)
    return _after_start(args, service, run, display, commands)


def _retry(
    args: argparse.Namespace,
    service: ImageService,
    run: importer.Importer,
    display: Display,
    commands: report.Commands,
) -> int:
    run.retry(service.find_image(args.image), args.source, tuple(args.store))
    return _after_start(args, service, run, display, commands)


def _watch(
    args: argparse.Namespace,
    service: ImageService,
    run: importer.Importer,
    display: Display,
    commands: report.Commands,
) -> int:
    run.image_id, run.step = str(service.find_image(args.image)['id']), 'import'
    return _follow(args, service, run, display, commands)


def _after_start(
    args: argparse.Namespace,
    service: ImageService,
    run: importer.Importer,
    display: Display,
    commands: report.Commands,
) -> int:
    if args.watch:
        return _follow(args, service, run, display, commands)
    assert run.image_id is not None
    if args.json:
        _print_json(report.accepted_document(service.get_image(run.image_id), run.task_id))
    else:
        display.note('The import is accepted. Watch it with')
        display.note(f'    {commands.line("watch", run.image_id)}')
        print(run.image_id)
    return 0


def _follow(
    args: argparse.Namespace,
    service: ImageService,
    run: importer.Importer,
    display: Display,
    commands: report.Commands,
) -> int:
    assert run.image_id is not None
    outcome = watch.follow(service, run.image_id, run.task_id, display)
    if not outcome.is_active:
        print(report.failure(outcome, run.image_id, commands), file=sys.stderr)
    if args.json:
        _print_json(report.document(outcome))
    elif outcome.is_active and outcome.image is not None:
        print(report.image_table(outcome.image))
    return 0 if outcome.is_active else 1


def _print_json(document: dict[str, object]) -> None:
    print(json.dumps(document, indent=2, sort_keys=True))


def _interrupted(
    run: importer.Importer | None, args: argparse.Namespace, commands: report.Commands
) -> str:
    """Return what is so after Ctrl-C, and the command to go on with."""
    if run is None or run.image_id is None:
        return 'Interrupted; nothing was changed.'
    if run.step == 'import':
        again = commands.line('watch', run.image_id)
        return f'The import goes on without this program. Watch it again with\n    {again}'
    return 'Interrupted. ' + _left_behind(run, args, commands)


def _left_behind(
    run: importer.Importer, args: argparse.Namespace, commands: report.Commands
) -> str:
    """Return how to go on with an image whose import did not begin."""
    assert run.image_id is not None
    again = commands.line('retry', run.image_id, args.source or 'FILE')
    return f'Image {run.image_id} is left without data. Go on with it:\n    {again}'


def _property(value: str) -> tuple[str, str]:
    name, equals, content = value.partition('=')
    if not name or not equals:
        raise argparse.ArgumentTypeError(f'{text.clean(value)!r} is not KEY=VALUE')
    return name, content


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='glance-lite',
        description='Import disk images and watch them become active.',
        epilog='The cloud comes from the OS_* variables or clouds.yaml, as with every OpenStack '
        'client; --endpoint or GLANCE_LITE_ENDPOINT names a service without identity.',
    )
    commands = parser.add_subparsers(title='commands', required=True, metavar='COMMAND')
    common = _common_options()

    adding = commands.add_parser(
        'import',
        parents=[common, _start_options()],
        help='make an image of a file or URL and import it',
    )
    adding.add_argument('source', metavar='FILE|URL', help='a file here, or a URL for the service')
    adding.add_argument('--name', help="the image's name (default: the file's, without extension)")
    adding.add_argument('--disk-format', help='default: told from the content or the extension')
    adding.add_argument('--container-format', default='bare', help='default: bare')
    adding.add_argument('--visibility', choices=['private', 'shared', 'community', 'public'])
    adding.add_argument('--property', action='append', default=[], type=_property, metavar='K=V')
    adding.add_argument('--tag', action='append', default=[])
    adding.add_argument(
        '--hash', metavar='ALGORITHM:HEX', help='what the download must have, as sha512:9b71d2...'
    )
    adding.set_defaults(action=_import)

    again = commands.add_parser(
        'retry',
        parents=[common, _start_options()],
        help='import again under the same image, after a failure',
    )
    again.add_argument('image', metavar='IMAGE', help='id or name')
    again.add_argument(
        'source', nargs='?', metavar='FILE|URL', help='default: what is staged, or the last URL'
    )
    again.set_defaults(action=_retry)

    watching = commands.add_parser('watch', parents=[common], help='follow a running import')
    watching.add_argument('image', metavar='IMAGE', help='id or name')
    watching.set_defaults(action=_watch, source=None)
    return parser


def _common_options() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--endpoint', metavar='URL', help='a service without identity')
    common.add_argument('--os-cloud', metavar='NAME', help='a cloud of clouds.yaml')
    common.add_argument('--json', action='store_true', help='one JSON document on standard output')
    return common


def _start_options() -> argparse.ArgumentParser:
    starting = argparse.ArgumentParser(add_help=False)
    starting.add_argument(
        '--watch',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='wait for the end of the import (default)',
    )
    starting.add_argument('--store', action='append', default=[], help='may be given several times')
    return starting


if __name__ == '__main__':
    sys.exit(main())
