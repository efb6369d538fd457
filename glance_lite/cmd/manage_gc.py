# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage gc``: remove now what conductors would remove by and by."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from oslo_config import cfg

from glance_lite.client import text

if TYPE_CHECKING:  # what it imports is slow to load, and "db sync" is not to wait for it
    from glance_lite.maintenance.clearing import Cleared

_DESCRIPTION = """\
Remove what is left over: staged files that nothing needs, stored data that no image owns, uploads
whose process died, staged data that waited too long, expired tasks. Conductors do the same by and
by, so this is for a disk that is full now, or for a look (--dry-run). It is safe while the service
runs. Of staging areas, only that of this host is looked at."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        'gc', help='remove what is left over, or show it', description=_DESCRIPTION
    )
    parser.add_argument('--dry-run', action='store_true', help='show it, and change nothing')
    parser.add_argument(
        '--grace',
        type=_seconds,
        metavar='SECONDS',
        help='age from which files and stored data count (default: 60 for staged files, '
        '[import] orphan_grace for stored data)',
    )
    parser.add_argument(
        '--unknown',
        action='store_true',
        help='remove data of image ids that the database does not know, too; only if no other '
        'service uses these stores and this staging area',
    )
    parser.add_argument('--json', action='store_true', help='print a JSON document')
    parser.set_defaults(run=collect)


def collect(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Remove, or show, what is left over; exit 1 if something could not be removed."""
    from glance_lite import deploy
    from glance_lite.maintenance import clearing

    services = deploy.build_services(conf)
    found = []
    for each in clearing.clear(
        services, dry_run=args.dry_run, grace_seconds=args.grace, unknown=args.unknown
    ):
        found.append(each)
        if not args.json:
            print(_line(each), flush=True)
    if args.json:
        print(json.dumps(_document(found, args.dry_run, services.staging.area_id), indent=2))
    else:
        print(_summary(found))
        print(f'Staging area: {services.staging.directory} of this host.')
    return 1 if any(each.action == clearing.FAILED for each in found) else 0


def _line(each: Cleared) -> str:
    litter = each.litter
    size = '-' if litter.size is None else text.size(litter.size)
    reason = litter.reason if each.trouble is None else f'{litter.reason}: {each.trouble}'
    return f'{each.action:<12}  {litter.where:<10}  {size:>10}  {litter.what}  ({reason})'


def _summary(found: list[Cleared]) -> str:
    if not found:
        return 'Nothing is left over.'
    parts = [
        f'{action}: {total["count"]} ({text.size(total["bytes"])})'
        for action, total in _totals(found).items()
    ]
    return f'Total: {", ".join(parts)}.'


def _totals(found: list[Cleared]) -> dict[str, dict[str, int]]:
    """Return by action how many things there are, and how many bytes are known of them."""
    totals: dict[str, dict[str, int]] = {}
    for each in found:
        total = totals.setdefault(each.action, {'count': 0, 'bytes': 0})
        total['count'] += 1
        total['bytes'] += each.litter.size or 0
    return totals


def _document(found: list[Cleared], dry_run: bool, area: str) -> dict[str, object]:
    return {
        'dry_run': dry_run,
        'staging_area': area,
        'totals': _totals(found),
        'items': [
            {
                'action': each.action,
                'kind': each.litter.kind,
                'where': each.litter.where,
                'what': each.litter.what,
                'size': each.litter.size,
                'reason': each.litter.reason,
                'trouble': each.trouble,
            }
            for each in found
        ],
    }


def _seconds(word: str) -> float:
    seconds = float(word)
    if not 0 <= seconds < float('inf'):
        raise ValueError(word)
    return seconds
