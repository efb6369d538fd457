# SPDX-License-Identifier: Apache-2.0
"""What an operator decides about each import plugin by conf: ``[import_plugin:NAME]``.

Only reading and judging; who asks, and what becomes of the answer, is
``image_import/plugin_guard.py``.
"""

from __future__ import annotations

import dataclasses
import difflib
import operator
import re
from collections.abc import Callable, Collection
from typing import Any

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.domain import import_request

#: What the name of a section begins with; the plugin's name follows.
PREFIX = 'import_plugin:'
FAIL, WARN = 'fail', 'warn'

OPTS = [
    cfg.StrOpt(
        'when',
        default='',
        mutable=True,
        sample_default='disk_format = qcow2 | vmdk, size <= 10 GiB',
        help='Conditions with commas between them: the plugin runs for imports that meet all of '
        'them, and is skipped for others. FIELD = VALUE | VALUE or FIELD != VALUE | VALUE, with '
        'the fields method, disk_format, container_format, role (of the importing user, who '
        'may have several) and project (its id); and size <, <=, > or >= bytes, or KiB, MiB, '
        'GiB, TiB. Judged when it is the turn of the plugin, so formats and size are those that '
        'the plugins before it left. Empty: it always runs.',
    ),
    cfg.IntOpt(
        'timeout',
        min=1,
        mutable=True,
        help='Seconds that the plugin may take for one image, whatever it reports. Unset: as long '
        'as it reports progress within [import] plugin_timeout.',
    ),
    cfg.StrOpt(
        'on_error',
        default=FAIL,
        choices=[
            (FAIL, 'The import fails, and can be repeated.'),
            (WARN, 'The import goes on as if the plugin had done nothing; its receipt says why.'),
        ],
        mutable=True,
        help='What an error of the plugin does. To refuse an image is no error, and always ends '
        'the import; but a plugin written for Glance refuses by an error, so give warn to '
        'plugins that describe, never to those that guard.',
    ),
    cfg.BoolOpt(
        'isolated',
        default=False,
        mutable=True,
        help='Run the plugin in a process of its own for each image, which has limits and no '
        'network. For plugins that subclass ImportPlugin.',
    ),
    cfg.IntOpt(
        'isolated_memory',
        default=1024,
        min=64,
        mutable=True,
        help='MiB of memory that the process of an isolated plugin may have.',
    ),
    cfg.BoolOpt(
        'isolated_network',
        default=False,
        mutable=True,
        help='Leave the network to the process of an isolated plugin.',
    ),
]

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    '<': operator.lt,
    '<=': operator.le,
    '>': operator.gt,
    '>=': operator.ge,
}
_UNITS = {'': 1, 'B': 1, 'KIB': 1 << 10, 'MIB': 1 << 20, 'GIB': 1 << 30, 'TIB': 1 << 40}
_METHODS = (import_request.GLANCE_DIRECT, import_request.WEB_DOWNLOAD)
_FIELDS = ('method', 'disk_format', 'container_format', 'role', 'project', 'size')
_CONDITION = re.compile(r'\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*', re.DOTALL)
_SIZE = re.compile(r'(\d+)\s*(\w*)')


@dataclasses.dataclass(frozen=True)
class Facts:
    """What conditions are judged by. ``roles`` are lower-cased; ``size`` is bytes."""

    method: str
    disk_format: str | None
    container_format: str | None
    roles: frozenset[str]
    project: str | None
    size: int


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition: ``values`` are words, or for ``size`` one number of bytes."""

    field: str
    operator: str
    values: tuple[str, ...] = ()
    bytes: int = 0

    def holds(self, facts: Facts) -> bool:
        """Tell whether an import meets it."""
        if self.field == 'size':
            return _COMPARE[self.operator](facts.size, self.bytes)
        if self.field == 'role':
            found = bool(facts.roles & set(self.values))
        else:
            found = getattr(facts, self.field) in self.values
        return found == (self.operator == '=')


@dataclasses.dataclass(frozen=True)
class Settings:
    """What ``[import_plugin:NAME]`` says.

    ``timeout`` is seconds, None for no limit of its own; ``isolated_memory`` is MiB.
    """

    when: tuple[Condition, ...] = ()
    timeout: int | None = None
    on_error: str = FAIL
    isolated: bool = False
    isolated_memory: int = 1024
    isolated_network: bool = False

    def unmet(self, facts: Facts) -> str | None:
        """Return the field of the first condition that does not hold; None if all do."""
        return next((each.field for each in self.when if not each.holds(facts)), None)


#: Of a plugin about which the configuration says nothing.
DEFAULTS = Settings()


def read(conf: cfg.ConfigOpts, name: str) -> Settings:
    """Register and read the section of a plugin.

    :raises ConfigError: an option has a wrong value; the message names it.
    """
    group = PREFIX + name
    conf.register_opts(OPTS, group=group)
    try:
        values = conf[group]
        when = parse_conditions(values.when, conf)
        return Settings(
            when,
            values.timeout,
            values.on_error,
            values.isolated,
            values.isolated_memory,
            values.isolated_network,
        )
    except (ValueError, cfg.Error) as error:
        raise exceptions.ConfigError(f'[{group}] {error}') from error


def check_sections(conf: cfg.ConfigOpts, installed: Collection[str]) -> None:
    """Raise when a section is about a plugin that is not installed: its name is mistyped.

    :raises ConfigError: naming the section.
    """
    for section in conf.list_all_sections():
        if section.startswith(PREFIX) and section[len(PREFIX) :] not in installed:
            name = section[len(PREFIX) :]
            close = difflib.get_close_matches(name, installed, 1)
            hint = f' Did you mean [{PREFIX}{close[0]}]?' if close else ''
            raise exceptions.ConfigError(
                f"The section [{section}] is about a plugin '{name}', which is not installed.{hint}"
            )


def parse_conditions(text: str, conf: cfg.ConfigOpts) -> tuple[Condition, ...]:
    """Read the option ``when``.

    :raises ValueError: it cannot be understood, or names what cannot be.
    """
    if not text.strip():
        return ()
    return tuple(_parse(part, conf) for part in text.split(','))


def _parse(text: str, conf: cfg.ConfigOpts) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"when: '{text.strip()}' is not a condition such as 'disk_format = raw'")
    field, sign, rest = match.groups()
    if field not in _FIELDS:
        raise ValueError(f"when: there is no field '{field}', only {', '.join(_FIELDS)}")
    if field == 'size':
        if sign not in _COMPARE:
            raise ValueError(f"when: size is compared by <, <=, > or >=, not by '{sign}'")
        return Condition(field, sign, bytes=_parse_size(rest))
    if sign not in ('=', '!='):
        raise ValueError(f"when: {field} is compared by = or !=, not by '{sign}'")
    values = tuple(value.strip() for value in rest.split('|'))
    if not all(values):
        raise ValueError(f"when: '{text.strip()}' has an empty value")
    if field == 'role':
        values = tuple(value.lower() for value in values)
    known = _known(field, conf)
    unknown = [value for value in values if known is not None and value not in known]
    if unknown:
        raise ValueError(
            f"when: there is no {field} '{unknown[0]}', only {', '.join(sorted(known or ()))}"
        )
    return Condition(field, sign, values)


def _known(field: str, conf: cfg.ConfigOpts) -> Collection[str] | None:
    """Return the values that a field can have; None if they cannot be known."""
    known: dict[str, Any] = {
        'method': _METHODS,
        'disk_format': conf.image_format.disk_formats,
        'container_format': conf.image_format.container_formats,
    }
    return known.get(field)


def _parse_size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    unit = None if match is None else _UNITS.get(match[2].upper())
    if match is None or unit is None:
        raise ValueError(f"when: '{text}' is not a size such as 10 GiB")
    return int(match[1]) * unit
