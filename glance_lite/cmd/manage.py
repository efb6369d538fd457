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
from glance_lite.cmd import manage_gc, manage_imports
from glance_lite.db import schema
from glance_lite.db.engine import Database

_PROGRAM = 'glance-lite-manage'
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, conf: cfg.ConfigOpts | None = None) -> int:
    """Run one command and return the exit status."""
    args = _parser().parse_args(argv)
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


def db_sync(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Bring the schema of the database to what this release needs."""
    print(f'The database is at schema revision {schema.sync(Database.from_conf(conf))}.')
    return 0


def db_version(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print the schema revision of the database."""
    print(schema.current(Database.from_conf(conf)) or 'none')
    return 0


def db_check(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Tell whether the schema is current: exit 0 if so, 1 if db sync is needed."""
    found, wanted = schema.current(Database.from_conf(conf)), schema.head()
    if found == wanted:
        print(f'The database is at schema revision {found}, as this release needs.')
        return 0
    print(
        f"The database is at schema revision {found or 'none'}, but this release needs {wanted}. "
        'Run: glance-lite-manage db sync'
    )
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
    _add_db(commands)
    manage_imports.add_commands(commands)
    manage_gc.add_command(commands)
    return parser


def _add_db(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    database = commands.add_parser(
        'db', help='look after the schema of the database', description='Look after the schema.'
    )
    actions = database.add_subparsers(required=True, metavar='ACTION', title='actions')
    for name, function in (('sync', db_sync), ('version', db_version), ('check', db_check)):
        help_text = function.__doc__ or ''
        parser = actions.add_parser(name, help=help_text, description=help_text)
        parser.set_defaults(run=function)


if __name__ == '__main__':
    sys.exit(main())
