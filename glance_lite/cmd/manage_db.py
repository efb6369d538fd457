# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage db``: the schema of the database, and forgetting what is long over."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from oslo_config import cfg

from glance_lite.db import purging, schema
from glance_lite.db.engine import Database

_MOST_DAYS = 36_500
_Action = Callable[[cfg.ConfigOpts, argparse.Namespace], int]


def sync(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Bring the schema of the database to what this release needs."""
    print(f'The database is at schema revision {schema.sync(Database.from_conf(conf))}.')
    return 0


def expand(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Add to the schema what this release needs; older releases that run work on with it."""
    db = Database.from_conf(conf)
    target = schema.newest_of_generation(schema.current(db))
    print(f'The database is at schema revision {schema.sync(db, target)}.')
    return 0


def migrate(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Move data to where this release keeps it: nothing needs to be moved in this release."""
    print('There is no data to move.')
    return 0


def contract(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Remove from the schema what only older releases needed, once none of them runs."""
    return sync(conf, args)


def version(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print the schema revision of the database."""
    print(schema.current(Database.from_conf(conf)) or 'none')
    return 0


def check(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Tell whether the schema suits this release: exit 0 if so, 1 if db sync is needed."""
    found, wanted = schema.current(Database.from_conf(conf)), schema.head()
    if found == wanted:
        print(f'The database is at schema revision {found}, as this release needs.')
        return 0
    if schema.is_sufficient(found):
        print(
            f'The database is at schema revision {found} of a newer release. This one needs '
            f'{wanted} and works with it.'
        )
        return 0
    print(
        f"The database is at schema revision {found or 'none'}, but this release needs {wanted}. "
        'Run: glance-lite-manage db sync'
    )
    return 1


def purge(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Forget deleted images but for their ids, and imports that ended long ago."""
    db = _current_database(conf)
    found = purging.purge(db, args.age_in_days, _limit(args.max_rows))
    print(f'Purged what ended more than {args.age_in_days} days ago:')
    for table, count in found.items():
        print(f'  {table:<18} {count}')
    if args.max_rows in found.values():
        print('There may be more: run it again, or with --max_rows -1.')
    return 0


def purge_images_table(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Remove the ids of deleted images too. Somebody may then make an image with such an id."""
    count = purging.purge_ids(_current_database(conf), args.age_in_days, _limit(args.max_rows))
    print(f'Removed the ids of {count} images, deleted more than {args.age_in_days} days ago.')
    if count == args.max_rows:
        print('There may be more: run it again, or with --max_rows -1.')
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the program."""
    text = 'look after the schema of the database, and purge it'
    database = commands.add_parser('db', help=text, description=f'{text.capitalize()}.')
    actions = database.add_subparsers(required=True, metavar='ACTION', title='actions')
    for name, function in _ACTIONS.items():
        parser = _add_action(actions, name, function)
        if name in ('sync', 'upgrade'):
            parser.add_argument(
                'revision', nargs='?', choices=['head', 'heads'], help='only this release\'s own'
            )
    for name, function, days in (
        ('purge', purge, 30),
        ('purge_images_table', purge_images_table, 180),
    ):
        parser = _add_action(actions, name, function)
        parser.add_argument(
            '--age_in_days',
            '--age-in-days',
            type=_days,
            default=days,
            metavar='DAYS',
            help=f'what ended more than so many days ago (default: {days})',
        )
        parser.add_argument(
            '--max_rows',
            '--max-rows',
            type=_rows,
            default=100,
            metavar='ROWS',
            help='rows of each table at most; -1 for all (default: 100)',
        )


def in_two_words(words: Sequence[str]) -> list[str]:
    """Write ``db_sync`` as ``db sync``: the other spelling that scripts may have."""
    found = list(words)
    for position, word in enumerate(found):
        if word.startswith('db_') and word[3:] in (*_ACTIONS, 'purge', 'purge_images_table'):
            return [*found[:position], 'db', word[3:], *found[position + 1 :]]
    return found


_ACTIONS: dict[str, _Action] = {
    'sync': sync,
    'upgrade': sync,
    'expand': expand,
    'migrate': migrate,
    'contract': contract,
    'version': version,
    'check': check,
}


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, function: _Action
) -> argparse.ArgumentParser:
    text = function.__doc__ or ''
    parser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(run=function)
    return parser


def _current_database(conf: cfg.ConfigOpts) -> Database:
    db = Database.from_conf(conf)
    schema.require_current(db)
    return db


def _limit(max_rows: int) -> int | None:
    return None if max_rows == -1 else max_rows


def _days(word: str) -> int:
    days = int(word)
    if not 0 <= days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f'{word} is not between 0 and {_MOST_DAYS}')
    return days


def _rows(word: str) -> int:
    rows = int(word)
    if rows != -1 and rows < 1:
        raise argparse.ArgumentTypeError(f'{word} is neither -1 nor a number from 1')
    return rows
