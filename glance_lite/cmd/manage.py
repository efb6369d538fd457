# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage``: what an operator does beside the running service.

Exit status: 0 done, 1 it could not be done, 2 the command line or the configuration was wrong, 130
interrupted. Standard output has the result; sentences about trouble go to standard error.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from oslo_config import cfg

from glance_lite import __version__, configuration, exceptions
from glance_lite.cmd import manage_config, manage_db, manage_gc, manage_imports

_PROGRAM = 'glance-lite-manage'
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, conf: cfg.ConfigOpts | None = None) -> int:
    """Run one command and return the exit status."""
    args = _parser().parse_args(manage_db.in_two_words(sys.argv[1:] if argv is None else argv))
    # the log of the service is not for what an operator sees on a terminal
    logging.basicConfig(
        level=logging.DEBUG if args.debug else logging.ERROR, format='%(levelname)s %(message)s'
    )
    conf = cfg.CONF if conf is None else conf
    files = [word for path in args.config_file for word in ('--config-file', path)]
    directories = [word for path in args.config_dir for word in ('--config-dir', path)]
    try:
        configuration.load(conf, [*files, *directories], prog=_PROGRAM)
        result: int = args.run(conf, args)
        sys.stdout.flush()
        return result
    except exceptions.ConfigError as error:
        return _complain(error, 2)
    except exceptions.GlanceLiteError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(error: exceptions.GlanceLiteError, status: int) -> int:
    print(f'{_PROGRAM}: {error}', file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description='Look after an image service. Works on the database, the stores and the '
        'staging area that the configuration names; the service may run or not.',
        epilog='"glance-lite-manage COMMAND --help" tells more.',
    )
    parser.add_argument(
        '--config-file',
        action='append',
        default=[],
        metavar='FILE',
        help='read this configuration file; may be given several times (default: '
        'glance-api.conf and glance-image-import.conf, where the service looks for them)',
    )
    parser.add_argument(
        '--config-dir',
        action='append',
        default=[],
        metavar='DIRECTORY',
        help='read every *.conf file in it, after the others',
    )
    parser.add_argument(
        '-d', '--debug', action='store_true', help='log what is done on standard error'
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(required=True, metavar='COMMAND', title='commands')
    manage_db.add_commands(commands)
    manage_imports.add_commands(commands)
    manage_gc.add_command(commands)
    manage_config.add_commands(commands)
    return parser


if __name__ == '__main__':
    sys.exit(main())
