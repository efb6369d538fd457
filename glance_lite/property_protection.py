# SPDX-License-Identifier: Apache-2.0
"""Who may create, read, change and delete which custom properties: the operator's file, read once.

The file is the one of Glance: a section for each regular expression of names, in it a line for each
of the four operations. Where the answer is asked for is the business of ``api/protection.py``; what
the service itself writes, as injected properties and ``os_glance*``, is not asked about here.
"""

from __future__ import annotations

import configparser
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions
from glance_lite.context import RequestContext

LOG = log.getLogger(__name__)

CREATE, READ, UPDATE, DELETE = OPERATIONS = ('create', 'read', 'update', 'delete')
EVERYBODY, NOBODY = '@', '!'
ROLES, POLICIES = FORMATS = ('roles', 'policies')
OPTION = '[DEFAULT] property_protection_file'
#: Roles that ordinary users have: what these may change is not protected from users.
_ORDINARY = frozenset({EVERYBODY, 'member', '_member_', 'reader'})


@dataclasses.dataclass(frozen=True)
class Section:
    """The rule of all properties that a pattern finds: for each operation, who may.

    That is a role in lower case or the name of a policy rule, as the format says, or
    :data:`EVERYBODY`; nobody where there is none.
    """

    pattern: re.Pattern[str]
    allowed: Mapping[str, frozenset[str]]


@dataclasses.dataclass(frozen=True)
class PropertyProtection:
    """The sections of the file, of which the first that fits a name decides."""

    sections: tuple[Section, ...]
    by_policy: bool = False

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> PropertyProtection | None:
        """Read the file that the configuration names; None if it names none.

        :raises ConfigError: it is not there or cannot be used; naming section and operation.
        """
        if not conf.property_protection_file:
            return None
        path = conf.find_file(conf.property_protection_file)
        if path is None:
            raise exceptions.ConfigError(f'{OPTION}: there is no such file.')
        try:
            with open(path, encoding='utf-8') as file:
                lines = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
            raise exceptions.ConfigError(f'{OPTION}: it cannot be read: {reason}.') from error
        return parse(lines, conf.property_protection_rule_format)

    def permits(
        self,
        operation: str,
        name: str,
        caller: RequestContext,
        passes: Callable[[str], bool],
    ) -> bool:
        """Tell whether a caller may do this with a property; there is no administrator as such.

        Who may not read a property may neither change nor delete it.

        :param passes: tells whether the caller passes a policy rule.
        """
        section = self._find(name)
        if section is None:
            return False
        needed = (READ, operation) if operation in (UPDATE, DELETE) else (operation,)
        return all(self._is_one_of(section.allowed[each], caller, passes) for each in needed)

    def require(
        self,
        operation: str,
        name: str,
        caller: RequestContext,
        passes: Callable[[str], bool],
    ) -> None:
        """Raise unless :meth:`permits` says so.

        :raises Forbidden: naming property and operation.
        """
        if not self.permits(operation, name, caller, passes):
            raise exceptions.Forbidden(
                f"The property '{name[:255]}' is protected; you are not permitted to "
                f'{operation} it.'
            )

    def policy_rules(self) -> set[str]:
        """Return the names of the policy rules that the file refers to."""
        if not self.by_policy:
            return set()
        named = (each for section in self.sections for each in section.allowed.values())
        return set().union(*named) - {EVERYBODY}

    def is_open(self, name: str) -> bool:
        """Tell whether ordinary users may create, change or delete a property, as far as known."""
        section = self._find(name)
        return section is not None and any(
            section.allowed[operation] & _ORDINARY for operation in (CREATE, UPDATE, DELETE)
        )

    def _find(self, name: str) -> Section | None:
        return next((each for each in self.sections if each.pattern.search(name)), None)

    def _is_one_of(
        self, allowed: frozenset[str], caller: RequestContext, passes: Callable[[str], bool]
    ) -> bool:
        if EVERYBODY in allowed:
            return True
        if self.by_policy:
            return any(passes(rule) for rule in allowed)
        return not allowed.isdisjoint(caller.roles) or not allowed.isdisjoint(
            caller.service_roles or ()
        )


def parse(text: str, rule_format: str) -> PropertyProtection:
    """Read the content of a file.

    :raises ConfigError: naming the section and the operation that are wrong.
    """
    # no section stands for all others, and values hold no references
    parser = configparser.ConfigParser(interpolation=None, default_section='')
    try:
        parser.read_string(text, source='the file')
    except configparser.Error as error:
        raise exceptions.ConfigError(f'{OPTION}: {" ".join(str(error).split())}') from error
    if not parser.sections():
        raise exceptions.ConfigError(
            f'{OPTION}: the file has no section. Leave the option out to protect no property.'
        )
    by_policy = rule_format == POLICIES
    return PropertyProtection(
        tuple(_read_section(name, parser[name], by_policy) for name in parser.sections()), by_policy
    )


def find_unprotected(protection: PropertyProtection | None, injected: Iterable[str]) -> list[str]:
    """Return the properties out of ``injected`` that ordinary users may set and change."""
    return [name for name in injected if protection is None or protection.is_open(name)]


def warn_of_unprotected(protection: PropertyProtection | None, injected: Iterable[str]) -> None:
    """Log which of the properties that imports inject may be set and changed by ordinary users."""
    if open_names := find_unprotected(protection, injected):
        LOG.warning(
            'Users may set and change these properties, which imports inject: %s. Protect them by '
            '%s',
            ', '.join(open_names),
            OPTION,
        )


def _read_section(name: str, values: Mapping[str, str], by_policy: bool) -> Section:
    try:
        pattern = re.compile(name)
    except re.error as error:
        raise exceptions.ConfigError(
            f'{OPTION}: section [{name}]: it is no regular expression: {error}.'
        ) from error
    allowed = {}
    for operation in OPERATIONS:
        if operation not in values:
            raise exceptions.ConfigError(
                f'{OPTION}: section [{name}] lacks the operation {operation}.'
            )
        allowed[operation] = _read_allowed(name, operation, values[operation], by_policy)
    if unknown := sorted(set(values) - set(OPERATIONS)):
        LOG.warning(
            '%s: section [%s]: nothing reads %s; the operations are %s',
            OPTION,
            name,
            ', '.join(unknown),
            ', '.join(OPERATIONS),
        )
    return Section(pattern, allowed)


def _read_allowed(name: str, operation: str, text: str, by_policy: bool) -> frozenset[str]:
    words = [word.strip() for word in text.split(',') if word.strip()]
    where = f'{OPTION}: section [{name}], operation {operation}'
    if EVERYBODY in words and NOBODY in words:
        raise exceptions.ConfigError(
            f'{where}: {EVERYBODY} (everybody) and {NOBODY} (nobody) exclude each other.'
        )
    if NOBODY in words:
        return frozenset()
    if by_policy and len(words) > 1:
        raise exceptions.ConfigError(
            f'{where}: in the format {POLICIES} it names one policy rule; combine rules in the '
            'policy file.'
        )
    if not words:
        LOG.warning('%s names nobody, so that nobody may; write %s to say so', where, NOBODY)
    return frozenset(words if by_policy else (word.lower() for word in words))
