# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage``: what an operator does beside the running service."""

from __future__ import annotations

import sys

from oslo_config import cfg
from oslo_log import log

from glance_lite import configuration, exceptions
from glance_lite.db import schema
from glance_lite.db.engine import Database


def main() -> int:
    """Run one command; 0 if it succeeded."""
    conf = cfg.CONF
    conf.register_cli_opt(cfg.SubCommandOpt('command', title='Commands', handler=_add_commands))
    try:
        configuration.load(conf, sys.argv[1:], prog='glance-lite-manage')
        log.setup(conf, 'glance-lite')
        result: int = conf.command.run(conf)
        return result
    except exceptions.GlanceLiteError as error:
        print(f'glance-lite-manage: {error}', file=sys.stderr)
        return 2


def db_sync(conf: cfg.ConfigOpts) -> int:
    """Bring the schema of the database to what this release needs."""
    print(f'The database is at schema revision {schema.sync(Database.from_conf(conf))}.')
    return 0


def db_version(conf: cfg.ConfigOpts) -> int:
    """Print the schema revision of the database."""
    print(schema.current(Database.from_conf(conf)) or 'none')
    return 0


def db_check(conf: cfg.ConfigOpts) -> int:
    """Tell whether the schema is current: exit 0 if so, 1 if ``db sync`` is needed."""
    found, wanted = schema.current(Database.from_conf(conf)), schema.head()
    if found == wanted:
        print(f'The database is at schema revision {found}, as this release needs.')
        return 0
    print(
        f"The database is at schema revision {found or 'none'}, but this release needs {wanted}. "
        'Run: glance-lite-manage db sync'
    )
    return 1


def _add_commands(subparsers: object) -> None:
    add = subparsers.add_parser  # type: ignore[attr-defined]
    database = add('db', help='Look after the database')
    commands = database.add_subparsers(required=True, metavar='sync | version | check')
    for name, function in (('sync', db_sync), ('version', db_version), ('check', db_check)):
        parser = commands.add_parser(name, help=(function.__doc__ or '').strip())
        parser.set_defaults(run=function)


if __name__ == '__main__':
    sys.exit(main())
