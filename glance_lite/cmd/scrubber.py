# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-scrubber``: remove the data of images that were deleted with ``delayed_delete``.

Exit status: 0 done, 1 something was left or could not be done, 2 the command line or the
configuration was wrong.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg
from oslo_log import log

from glance_lite import __version__, configuration, deploy, exceptions
from glance_lite.maintenance import scrubbing
from glance_lite.supervisor import Stop

if TYPE_CHECKING:
    from glance_lite.services import Services

LOG = log.getLogger(__name__)

_PROGRAM = 'glance-lite-scrubber'


def main(argv: Sequence[str] | None = None, conf: cfg.ConfigOpts | None = None) -> int:
    """Scrub once, for ever, or restore an image; return the exit status."""
    args = _parser().parse_args(argv)
    conf = cfg.CONF if conf is None else conf
    files = [word for path in args.config_file for word in ('--config-file', path)]
    directories = [word for path in args.config_dir for word in ('--config-dir', path)]
    try:
        configuration.load(conf, [*files, *directories], prog=_PROGRAM)
        if args.daemon:
            log.setup(conf, 'glance-lite')
            return _serve(deploy.build_services(conf), _stop_by_signal())
        logging.basicConfig(level=logging.WARNING, format='%(levelname)s %(message)s')
        services = deploy.build_services(conf)
        return _restore(services, args.restore) if args.restore else _once(services)
    except exceptions.ConfigError as error:
        return _complain(error, 2)
    except exceptions.GlanceLiteError as error:
        return _complain(error, 1)


def _once(services: Services) -> int:
    found = scrubbing.scrub(services)
    print(f'Images scrubbed: {found.deleted}. Left for another time: {found.left}.')
    return 1 if found.left else 0


def _restore(services: Services, image_id: str) -> int:
    print(f'Image {image_id} is {scrubbing.restore(services, image_id)} again.')
    return 0


def _serve(services: Services, stop: Stop) -> int:
    """Scrub again and again until told to stop; trouble in one round keeps none of the others."""
    LOG.info('Scrubbing every %d seconds', services.conf.wakeup_time)
    while not stop.is_set():
        try:
            found = scrubbing.scrub(services)
            if found.deleted or found.left:
                LOG.info('Images scrubbed: %d. Left: %d', found.deleted, found.left)
        except Exception as error:
            LOG.warning('This round of scrubbing ended early: %s', error)
        stop.wait(services.conf.wakeup_time)
    return 0


def _stop_by_signal() -> Stop:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: stop.set())
    return stop


def _complain(error: exceptions.GlanceLiteError, status: int) -> int:
    print(f'{_PROGRAM}: {error}', file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description='Remove the data of images that were deleted scrub_time seconds ago or '
        'earlier, where delayed_delete keeps it. Run it as the user of the service.',
    )
    parser.add_argument(
        '--config-file', action='append', default=[], metavar='FILE', help='read this file'
    )
    parser.add_argument(
        '--config-dir',
        action='append',
        default=[],
        metavar='DIRECTORY',
        help='read every *.conf file in it, after the others',
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '-D', '--daemon', action='store_true', help='do it every wakeup_time seconds until stopped'
    )
    what.add_argument('--restore', metavar='IMAGE_ID', help='give a deleted image back instead')
    parser.add_argument('--version', action='version', version=__version__)
    return parser


if __name__ == '__main__':
    sys.exit(main())
