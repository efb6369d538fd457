# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage imports``: list, show, retry and cancel imports."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from glance_lite.client import text
from glance_lite.db import schema
from glance_lite.db.engine import Database
from glance_lite.domain import task as task_domain

if TYPE_CHECKING:  # what it imports is slow to load, and "db sync" is not to wait for it
    from glance_lite.maintenance.imports import Details, Report

_UNFINISHED = frozenset({task_domain.PENDING, task_domain.PROCESSING})
_STATUSES = (
    task_domain.PENDING,
    task_domain.PROCESSING,
    task_domain.SUCCESS,
    task_domain.FAILURE,
)
_HEADINGS = (
    'IMAGE',
    'IMPORT',
    'PROJECT',
    'METHOD',
    'STATUS',
    'PHASE',
    'DONE',
    'ATTEMPT',
    'AGE',
    'CONDUCTOR',
    'LEASE',
    'REMARK',
)

Run = Callable[[cfg.ConfigOpts, argparse.Namespace], int]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the program."""
    parser = commands.add_parser(
        'imports',
        help='look at imports, repeat failed ones, cancel running ones',
        description='Look at imports, repeat failed ones, cancel running ones. An import is named '
        'by its id or that of its image, whose last import is then meant; the first characters '
        'are enough.',
    )
    actions = parser.add_subparsers(required=True, metavar='ACTION', title='actions')
    _add_list(actions)
    _add(
        actions,
        'show',
        show_import,
        'show all about an import, and what happens to it next',
        with_json=True,
    )
    _add(
        actions,
        'retry',
        retry_import,
        'post the last import of an image again, which failed: the same method, source and '
        'stores, with the plugins of today',
    )
    parser = _add(
        actions,
        'cancel',
        cancel_import,
        'ask for the end of an import, as its owner may, and wait for it; exit 1 if it goes on',
    )
    parser.add_argument(
        '--wait',
        type=float,
        default=10.0,
        metavar='SECONDS',
        help='how long to wait for its end (default: %(default)g)',
    )


def _add_list(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = 'list the imports that are not finished, the oldest first'
    parser = actions.add_parser('list', help=words, description=_sentence(words))
    parser.add_argument(
        '--all', action='store_true', help='finished ones too, as long as they can be read'
    )
    parser.add_argument('--project', metavar='ID', help='only imports of this project')
    parser.add_argument('--status', choices=_STATUSES, help='only imports in this status')
    parser.add_argument('--json', action='store_true', help='print a JSON document')
    parser.set_defaults(run=list_imports)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Run,
    words: str,
    with_json: bool = False,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=words, description=_sentence(words))
    parser.add_argument('id', metavar='ID', help='id of an image or of an import, or its beginning')
    if with_json:
        parser.add_argument('--json', action='store_true', help='print a JSON document')
    parser.set_defaults(run=run)
    return parser


def list_imports(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print a table of imports."""
    from glance_lite.maintenance import imports

    statuses = _UNFINISHED
    if args.status:
        statuses = frozenset({args.status})
    elif args.all:
        statuses = frozenset(_STATUSES)
    found = imports.list_imports(_open(conf), statuses, args.project)
    if args.json:
        _print_json([imports.document(report) for report in found])
    elif found:
        print(_table([_HEADINGS, *(_row(report) for report in found)]))
    else:
        print('No such import.' if args.all or args.status else 'No import is unfinished.')
    return 0


def show_import(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print all about an import."""
    from glance_lite.maintenance import imports

    db = _open(conf)
    details = imports.describe(conf, db, imports.find(db, args.id))
    if args.json:
        _print_json(imports.details_document(details))
    else:
        print(_fields(_details(details, conf['import'].max_attempts)))
    return 0


def retry_import(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Post a failed import again."""
    from glance_lite import deploy
    from glance_lite.maintenance import imports

    services = deploy.build_services(conf)
    task = imports.retry(services, args.id)
    services.announcer.close()
    print(f'Import {task.task_id} of image {task.image_id} is posted.')
    return 0


def cancel_import(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Ask for the end of an import, and wait for it."""
    from glance_lite.maintenance import imports

    db = _open(conf)
    task = imports.find(db, args.id)
    imports.cancel(db, task)
    task = imports.wait(db, task.task_id, args.wait)
    if task.status in task_domain.FINAL:
        print(f'Import {task.task_id} of image {task.image_id} has ended: {_ending(task)}.')
        return 0
    details = imports.describe(conf, db, task)
    print(
        f'Import {task.task_id} is asked to end, but has not yet. {details.next}', file=sys.stderr
    )
    return 1


def _open(conf: cfg.ConfigOpts) -> Database:
    db = Database.from_conf(conf)
    schema.require_current(db)
    return db


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + '.'


# How imports are written


def _row(report: Report) -> tuple[str, ...]:
    task, job = report.task, report.job
    progress = task.progress or {}
    return (
        task.image_id or '-',
        task.task_id,
        text.clean(task.owner or '-'),
        task.plan.get('method') or '-',
        task.status,
        progress.get('phase') or '-',
        _done(progress),
        str(task.attempts),
        text.span(report.age_seconds),
        '-' if job is None or job.conductor is None else _short(job.conductor),
        '-' if job is None or job.lease_seconds is None else _lease(job.lease_seconds),
        _remark(report),
    )


def _remark(report: Report) -> str:
    task = report.task
    if task.error is not None:
        return str(task.error.get('code'))
    if task.status in task_domain.FINAL:
        return ''
    if task.cancel_requested:
        return 'cancelled'
    if report.queue_position is not None:
        return f'number {report.queue_position} in the queue'
    return ''


def _details(details: Details, max_attempts: int) -> list[tuple[str, str]]:
    report, task = details.report, details.report.task
    job, plan, progress = report.job, task.plan, task.progress or {}
    status = task.status + (', to be cancelled' if task.cancel_requested and job else '')
    fields = [
        ('import', task.task_id),
        ('image', f'{task.image_id} ({details.image_status or _missing(task)})'),
        ('project', task.owner),
        ('user', task.user_id),
        ('request', task.request_id),
        ('method', plan.get('method')),
        ('source', details.uri),
        ('stores', _stores(plan)),
        ('plugins', ', '.join(plan.get('plugins') or ()) or 'none'),
        ('status', status),
        ('attempts', f'{task.attempts} of {max_attempts}'),
        ('requested', f'{task.created_at:%Y-%m-%d %H:%M:%S} UTC, {_ago(report.age_seconds)}'),
    ]
    if task.status in task_domain.FINAL:
        fields.append(('readable until', f'{task.expires_at:%Y-%m-%d %H:%M:%S} UTC'))
    elif details.deadline_seconds is not None:
        fields.append(('deadline', _deadline(details.deadline_seconds)))
    if report.queue_position is not None:
        fields.append(('queue position', str(report.queue_position)))
    fields += [*_phases(progress), ('phase', _phase(progress))]
    if job is not None:
        fields += _job(report)
    if details.staged is not None:
        data = details.staged
        size = data.facts.get('size')
        fields.append(('staged file', f'{data.file_name}, {text.size(size or 0)}'))
    fields += _receipts(task)
    if task.error is not None:
        fields += _error(task.error)
    fields.append(('next', details.next))
    return [(name, text.clean(value)) for name, value in fields if value]


def _missing(task: task_domain.Task) -> str:
    """Return why there is no image."""
    if task_domain.makes_image(task) and task.status != task_domain.SUCCESS:
        return 'not made' if task.status in task_domain.FINAL else 'to be made'
    return 'deleted'


def _stores(plan: dict[str, Any]) -> str:
    stores = plan.get('stores') or []
    rule = '' if len(stores) < 2 else ' (one at least)'
    if rule and plan.get('all_stores_must_succeed'):
        rule = ' (all of them)'
    return ', '.join(stores) + rule


def _phases(progress: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the last attempt has done before its phase."""
    return [
        (
            'phases before' if number == 0 else '',
            f'{done["phase"]}, {text.span(done["seconds"])}'
            + (f', {text.size(done["bytes_done"])}' if done.get('bytes_done') else ''),
        )
        for number, done in enumerate(progress.get('phases') or ())
    ]


def _receipts(task: task_domain.Task) -> list[tuple[str, str]]:
    """Return what each plugin did."""
    return [
        (
            'receipts' if number == 0 else '',
            f'{receipt["plugin"]} {receipt["version"] or ""}'.rstrip()
            + f': {receipt["outcome"]}, {text.span(receipt["seconds"])}'
            + (f'; {receipt["note"]}' if receipt['note'] else ''),
        )
        for number, receipt in enumerate(task.receipts or ())
    ]


def _phase(progress: dict[str, Any]) -> str:
    phase = progress.get('phase') or '-'
    done = _done(progress)
    return phase if done == '-' else f'{phase}, {done}'


def _job(report: Report) -> list[tuple[str, str]]:
    job = report.job
    assert job is not None
    fields = []
    if job.conductor is not None:
        lease = _lease(job.lease_seconds or 0.0)
        fields.append(('conductor', job.conductor))
        fields.append(('lease', lease if job.is_held else f'{lease} ago'))
    if job.area is not None:
        reached = ', '.join(_short(each.name) for each in report.reached_by)
        fields.append(('staging area', f'{job.area}, reached by {reached or "no live conductor"}'))
    return fields


def _error(error: dict[str, Any]) -> list[tuple[str, str]]:
    where = error.get('plugin') or error.get('phase')
    retryable = 'may succeed later' if error.get('retryable') else 'would fail again'
    return [
        ('error', f'{error.get("code")} in {where}; the same import {retryable}'),
        ('', str(error.get('message'))),
    ]


def _ending(task: task_domain.Task) -> str:
    if task.status == task_domain.SUCCESS:
        return 'it was done before it could be cancelled'
    assert task.error is not None
    return str(task.error.get('code'))


def _done(progress: dict[str, Any]) -> str:
    done, total = progress.get('bytes_done') or 0, progress.get('bytes_total')
    if total:
        return f'{progress.get("percent") or 0}% of {text.size(total)}'
    return text.size(done) if done else '-'


def _lease(seconds: float) -> str:
    return f'{seconds:.1f} s' if seconds > 0 else f'lost {text.span(-seconds)}'


def _deadline(seconds: float) -> str:
    return f'in {text.span(seconds)}' if seconds > 0 else f'passed {_ago(-seconds)}'


def _ago(seconds: float) -> str:
    return f'{text.span(seconds)} ago'


def _short(conductor: str) -> str:
    """Return host and process of a conductor's name."""
    return conductor.rpartition(':')[0] or conductor


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(f'{cell:<{width}}' for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _fields(fields: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in fields)
    return '\n'.join(f'{name:<{width}}  {value}' for name, value in fields)
