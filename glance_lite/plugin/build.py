# SPDX-License-Identifier: Apache-2.0
"""Turn what a plugin's ``get_flow`` returns into a flow that fits beside others.

TaskFlow refuses a flow with two steps of one name, and plugins copied from one sample share their
names; so every step of a plugin is named after the plugin: ``run-plugin:<name>``, and when there
are several ``run-plugin:<name>/<its own name>``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oslo_log import log
from taskflow import atom, flow
from taskflow.patterns import linear_flow

from glance_lite import exceptions
from glance_lite.plugin import settings

LOG = log.getLogger(__name__)

#: What begins the name of each step of a plugin; the plugin's name follows.
PREFIX = 'run-plugin:'


@dataclasses.dataclass(frozen=True)
class BuiltPlugin:
    """The flow of one plugin, ready to be added to the flow of an import."""

    name: str
    flow: flow.Flow
    atoms: tuple[atom.Atom, ...]
    settings: settings.Settings = settings.DEFAULTS
    distribution: str | None = None
    version: str | None = None

    @property
    def atom_names(self) -> frozenset[str]:
        """The names of its steps."""
        return frozenset(item.name for item in self.atoms)

    @property
    def transforms(self) -> bool:
        """Whether a step of the plugin provides ``file_path``."""
        return 'file_path' in self.flow.provides


def build_plugin(
    name: str, get_flow: Callable[..., Any], arguments: Mapping[str, Any], *, trace: bool = False
) -> BuiltPlugin:
    """Call ``get_flow`` and wrap, check and name what it returns.

    :raises ImportFailed: ``plugin_failed``: it raised, or returned neither a task nor a flow.
        Errors of ours that it raised pass as they are.
    """
    if trace:
        LOG.debug('Import plugin %s: get_flow(%s)', name, ', '.join(sorted(arguments)))
    try:
        built = get_flow(**arguments)
    except exceptions.GlanceLiteError:
        raise
    except Exception as error:
        LOG.exception('Import plugin %s cannot be built', name)
        raise exceptions.ImportFailed(
            'plugin_failed',
            f"Import plugin '{name}' cannot be built: {str(error) or type(error).__name__}",
        ) from error
    if isinstance(built, atom.Atom):
        built = linear_flow.Flow(name).add(built)
    if not isinstance(built, flow.Flow):
        raise exceptions.ImportFailed(
            'plugin_failed',
            f"Import plugin '{name}' gave {type(built).__name__} in place of a TaskFlow task or "
            'flow.',
        )
    atoms = list(iter_atoms(built))
    if not atoms:
        raise exceptions.ImportFailed('plugin_failed', f"Import plugin '{name}' has no task.")
    _name_atoms(name, atoms)
    if trace:
        for item in atoms:
            _trace(item)
    return BuiltPlugin(name, built, tuple(atoms))


def iter_atoms(parent: flow.Flow) -> Iterator[atom.Atom]:
    """Give the steps of a flow and of the flows in it, retry controllers included."""
    if parent.retry is not None:
        yield parent.retry
    for item in parent:
        if isinstance(item, flow.Flow):
            yield from iter_atoms(item)
        else:
            yield item


def _name_atoms(name: str, atoms: list[atom.Atom]) -> None:
    if len(atoms) == 1:
        atoms[0].name = PREFIX + name
        return
    taken: set[str] = set()
    for item in atoms:
        wanted = f'{PREFIX}{name}/{item.name}'
        number = 1
        while wanted in taken:
            number += 1
            wanted = f'{PREFIX}{name}/{item.name}#{number}'
        taken.add(wanted)
        item.name = wanted


def _trace(item: atom.Atom) -> None:
    for method in ('execute', 'revert'):
        call = getattr(item, method)

        @functools.wraps(call)
        def traced(*args: Any, _call: Any = call, _method: str = method, **kwargs: Any) -> Any:
            LOG.debug('%s: %s(%s)', item.name, _method, kwargs)
            result = _call(*args, **kwargs)
            LOG.debug('%s: %s returned %r', item.name, _method, result)
            return result

        setattr(item, method, traced)
