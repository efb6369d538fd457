# SPDX-License-Identifier: Apache-2.0
"""What the enabled import plugins are, and how the flow of an import looks with them.

Also one plugin on one file, in a service of its own that is gone afterwards. Printing is the
business of ``cmd/plugins.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg
from taskflow import engines

from glance_lite import exceptions
from glance_lite.db import tasks
from glance_lite.domain import import_request
from glance_lite.image_import.flow import build_flow
from glance_lite.image_import.run import ImportRun
from glance_lite.jobs.lease import Lease
from glance_lite.plugin import build, loader
from glance_lite.plugin.loader import PluginSet
from glance_lite.testing import images
from glance_lite.testing.trial import Options, Outcome, Trial

#: Import methods whose data plugins get.
METHODS = (import_request.GLANCE_DIRECT, import_request.WEB_DOWNLOAD)
#: The store of :func:`try_file`.
_KEPT = 'kept'
#: Attributes of an image that a plugin may change, or that follow from the data.
_ATTRIBUTES = (
    'name',
    'disk_format',
    'container_format',
    'min_disk',
    'min_ram',
    'virtual_size',
)


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of a flow; ``plugin`` is None for those of the service."""

    name: str
    plugin: str | None
    requires: tuple[str, ...]
    provides: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Change:
    """What an import made of something: an attribute, ``property NAME``, ``tags`` or ``data``."""

    what: str
    before: Any
    after: Any


def load(conf: cfg.ConfigOpts, names: Collection[str] | None = None) -> PluginSet:
    """Load the enabled plugins, or those named in place of them.

    :raises ConfigError: as a start of the service would.
    """
    if names is not None:
        conf.set_override('image_import_plugins', list(names), group='image_import_opts')
    return loader.load_plugins(conf)


def flows(plugins: PluginSet) -> dict[str, list[Step]]:
    """Build and compile the flow of each method with these plugins; return the steps by method.

    :raises ImportFailed: a plugin cannot be built; ``CompilationFailure`` of TaskFlow for a flow
        that cannot be.
    """
    with _trial(plugins) as (trial, folder):
        image_id = trial.stage(images.write_qcow2(folder / 'sample.qcow2', 65536))
        task_id = trial.post(image_id)
        with trial.db.reader() as session:
            task = tasks.get(session, task_id)
        found = {}
        for method in METHODS:
            uri = None if method == import_request.GLANCE_DIRECT else 'https://example.org/disk'
            each = dataclasses.replace(task, plan=task.plan | {'method': method, 'uri': uri})
            found[method] = _steps(trial, ImportRun(each, Lease(task_id, 1, 60)))
        return found


def _steps(trial: Trial, run: ImportRun) -> list[Step]:
    plan = build_flow(trial.services, run)
    engines.load(plan.flow, engine='serial').compile()
    return [
        Step(
            item.name,
            plan.plugin_of.get(item.name),
            tuple(sorted(item.requires)),
            tuple(sorted(item.provides)),
        )
        for item in build.iter_atoms(plan.flow)
    ]


def try_file(
    conf: cfg.ConfigOpts,
    plugin: str,
    file: Path,
    *,
    roles: Collection[str] = ('member',),
    output: Path | None = None,
    **image: Any,
) -> tuple[Outcome, list[Change]]:
    """Import a file with one plugin, enabled or not; return the outcome and what changed.

    :param output: where to write the data as the plugin left it.
    :param image: attributes of the image.
    :raises ConfigError: the plugin cannot be loaded, or its options are wrong.
    """
    plugins = load(conf, [plugin])
    with _trial(plugins, {_KEPT: {}}) as (trial, folder):
        image_id = trial.stage(file, **image)
        before = trial.image(image_id)
        outcome = trial.import_staged(image_id, store=_KEPT, roles=roles)
        after = outcome.image
        changes = [
            Change(each, getattr(before, each), getattr(after, each))
            for each in _ATTRIBUTES
            if outcome.code is None and getattr(before, each) not in (None, getattr(after, each))
        ]
        names = sorted(before.properties.keys() | after.properties.keys())
        changes += [
            Change(f'property {each}', before.properties.get(each), after.properties.get(each))
            for each in names
            if not each.startswith('os_glance')
            and before.properties.get(each) != after.properties.get(each)
        ]
        if outcome.code is None:
            [stored] = [path for path in (folder / _KEPT).rglob('*') if path.is_file()]
            old, new = _sha256(file), _sha256(stored)
            if old != new:
                changes.append(Change('size', file.stat().st_size, stored.stat().st_size))
                changes.append(Change('data', f'sha256 {old}', f'sha256 {new}'))
            if output is not None:
                shutil.copyfile(stored, output)
        return outcome, changes


@contextlib.contextmanager
def _trial(
    plugins: PluginSet, stores: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[Trial, Path]]:
    """Give a service with these plugins, and its folder; both are removed."""
    with tempfile.TemporaryDirectory(prefix='glance-lite-plugins-') as name:
        folder = Path(name)
        options: Options = {}
        if stores:
            options = {
                'DEFAULT': {'enabled_backends': ', '.join(f'{each}:file' for each in stores)},
                'glance_store': {'default_backend': next(iter(stores))},
                **{
                    each: {'filesystem_store_datadir': str(folder / each), **values}
                    for each, values in stores.items()
                },
            }
        trial = Trial(folder, (), options)
        try:
            trial.services.rules = dataclasses.replace(trial.services.rules, plugins=plugins)
            yield trial, folder
        finally:
            trial.close()


def _sha256(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def dot(steps: list[Step]) -> str:
    """Return a flow in the language of Graphviz; the steps of plugins are filled."""
    lines = ['digraph import {', '  rankdir=TB;', '  node [shape=box, fontname="sans-serif"];']
    for step in steps:
        style = ', style=filled, fillcolor="#dbe9f6"' if step.plugin else ''
        lines.append(f'  {_quoted(step.name)} [label={_quoted(_label(step))}{style}];')
    lines += [
        f'  {_quoted(before.name)} -> {_quoted(after.name)};'
        for before, after in itertools.pairwise(steps)
    ]
    return '\n'.join([*lines, '}', ''])


def _label(step: Step) -> str:
    return step.name + (f'\nprovides {", ".join(step.provides)}' if step.provides else '')


def _quoted(text: str) -> str:
    escaped = text.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
    return f'"{escaped}"'


def svg(steps: list[Step]) -> str:
    """Return a flow as a picture of its own, from top to bottom."""
    from xml.sax.saxutils import escape

    width, height, gap = 460, 44, 18
    full = len(steps) * (height + gap) + gap
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 40}" height="{full}" '
        'font-family="sans-serif" font-size="14">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for place, step in enumerate(steps):
        top = gap + place * (height + gap)
        fill = '#dbe9f6' if step.plugin else '#ffffff'
        parts.append(
            f'<rect x="20" y="{top}" width="{width}" height="{height}" rx="4" fill="{fill}" '
            'stroke="#333333"/>'
        )
        parts.append(f'<text x="32" y="{top + 19}">{escape(step.name)}</text>')
        provides = ', '.join(step.provides)
        if provides:
            parts.append(
                f'<text x="32" y="{top + 36}" font-size="11" fill="#555555">provides '
                f'{escape(provides)}</text>'
            )
        if place:
            parts.append(
                f'<line x1="{20 + width // 2}" y1="{top - gap}" x2="{20 + width // 2}" y2="{top}" '
                'stroke="#333333" marker-end="url(#tip)"/>'
            )
    return '\n'.join([*parts, '</svg>', ''])


def require_readable(path: Path) -> None:
    """Raise unless a path is that of a file that can be read.

    :raises NotFound: it is not.
    """
    try:
        with open(path, 'rb'):
            return
    except OSError as error:
        raise exceptions.NotFound(f'{path} cannot be read: {error.strerror}.') from error
