# SPDX-License-Identifier: Apache-2.0
"""Evaluate the policy rules with oslo.policy. The rules themselves are in ``policies/``.

Fails closed: a named file that is missing, a file that cannot be read, a rule that refers to
nothing stop the start; a file that becomes unreadable later refuses every request.
"""

from __future__ import annotations

import dataclasses
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log
from oslo_policy import policy

from glance_lite import exceptions, policies
from glance_lite.context import RequestContext
from glance_lite.domain import image as domain

LOG = log.getLogger(__name__)

#: Seconds between two looks at the policy files for changes.
RELOAD_SECONDS = 1.0
YAML_FILE, JSON_FILE = 'policy.yaml', 'policy.json'


#: Tells whether a target and a caller pass; the third argument names the rule that was asked for.
_Test = Callable[[Mapping[str, Any], dict[str, Any], str], bool]


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """The test of a check. It holds as long as the rule is this very check."""

    check: Any
    test: _Test


class _Enforcer(policy.Enforcer):
    """An enforcer that is quick: a list of images asks it for each of them.

    It looks for changed files once a second, not at each check, and finds out once, not at each
    check, how the parts of a rule want to be called.
    """

    _next_look = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._reload_lock = threading.Lock()
        self._prepared: dict[str, _Prepared] = {}
        super().__init__(*args, **kwargs)

    def load_rules(self, force_reload: bool = False) -> None:
        if not force_reload and time.monotonic() < self._next_look:
            return
        with self._reload_lock:
            try:
                super().load_rules(force_reload)
                self._require_understood()
            except Exception:
                # read it again at the next check, which then fails as well
                self._file_cache.clear()
                raise
            self._next_look = time.monotonic() + RELOAD_SECONDS

    def _require_understood(self) -> None:
        """Raise if a rule of the file is not what it says.

        The library reads a part that it does not understand as ``!``, and ``not`` before that
        would let everybody pass.
        """
        for name, rule in self.file_rules.items():
            if _count_refusals(rule.check) > str(rule.check_str).count('!'):
                raise ValueError(f'the rule {name} cannot be understood: {rule.check_str}')

    def passes(self, rule: str, target: Mapping[str, Any], caller: dict[str, Any]) -> bool:
        """Tell what :meth:`enforce` would tell: unknown rules and wrong scopes do not pass."""
        self.load_rules()
        registered = self.registered_rules.get(rule)
        if registered and not self._enforce_scope(caller, registered, do_raise=False):
            return False
        return self._ask(rule, target, caller, rule)

    def _ask(
        self, name: str, target: Mapping[str, Any], caller: dict[str, Any], asked: str
    ) -> bool:
        try:
            check = self.rules[name]
        except KeyError:
            return False
        prepared = self._prepared.get(name)
        if prepared is None or prepared.check is not check:
            prepared = self._prepared[name] = _Prepared(check, self._prepare(check))
        return prepared.test(target, caller, asked)

    def _prepare(self, check: Any) -> _Test:
        """Return the test that a check is."""
        kind = type(check)
        if kind is policy.RuleCheck:
            name = check.match
            return lambda target, caller, asked: self._ask(name, target, caller, asked)
        if kind is policy.NotCheck:
            inner = self._prepare(check.rule)
            return lambda target, caller, asked: not inner(target, caller, asked)
        if kind in (policy.AndCheck, policy.OrCheck):
            tests = [self._prepare(part) for part in check.rules]
            every = all if kind is policy.AndCheck else any
            return lambda target, caller, asked: every(
                test(target, caller, asked) for test in tests
            )
        if len(inspect.getfullargspec(check.__call__).args) > 4:  # as oslo.policy decides it
            return lambda target, caller, asked: check(target, caller, self, asked)
        return lambda target, caller, asked: check(target, caller, self)


def _count_refusals(check: Any) -> int:
    """Return how many parts of a check let nobody pass."""
    if isinstance(check, policy.NotCheck):
        return _count_refusals(check.rule)
    if isinstance(check, policy.AndCheck | policy.OrCheck):
        return sum(map(_count_refusals, check.rules))
    return int(str(check) == '!')


class Policy:
    """The rules in force. May be used by many threads at once."""

    def __init__(self, enforcer: _Enforcer) -> None:
        self._enforcer = enforcer

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Policy:
        """Load the defaults and the policy file.

        :raises ConfigError: the file is missing or cannot be used.
        """
        return cls(make_enforcer(conf))

    def allows(self, context: RequestContext, rule: str, target: Mapping[str, Any]) -> bool:
        """Tell whether the caller passes a rule.

        :raises ServiceUnavailable: the rules cannot be read at the moment.
        """
        try:
            return bool(self._enforcer.passes(rule, target, context.policy_values))
        except Exception as error:
            raise _cannot_evaluate(rule) from error

    def require(self, context: RequestContext, rule: str, target: Mapping[str, Any]) -> None:
        """Raise unless the caller passes a rule.

        :raises Forbidden: they do not.
        """
        if not self.allows(context, rule, target):
            raise exceptions.Forbidden(f'You are not permitted to do this (policy rule {rule}).')

    def require_known(self, rules: Iterable[str], option: str) -> None:
        """Raise unless all these rules are there, for the option that names them.

        :raises ConfigError: naming the first that is not.
        """
        for rule in sorted(rules):
            if rule not in self._enforcer.rules:
                raise exceptions.ConfigError(
                    f'[DEFAULT] {option} names the policy rule {rule}, which there is not.'
                )

    def is_admin(self, context: RequestContext) -> bool:
        """Tell whether the rule ``context_is_admin`` makes the caller an administrator."""
        try:
            return bool(self._enforcer.passes('context_is_admin', {}, context.policy_values))
        except Exception as error:
            raise _cannot_evaluate('context_is_admin') from error


def target_of(context: RequestContext, image: domain.Image) -> dict[str, Any]:
    """Return what the policy rules know about an image that the caller sees.

    It has ``member_id`` where the caller sees the image as a member only.
    """
    target = {
        'project_id': image.owner,
        'owner': image.owner,
        'visibility': image.visibility,
        'image_id': image.image_id,
        'status': image.status,
    }
    if image.visibility == 'shared' and image.owner != context.project_id and not context.is_admin:
        target['member_id'] = context.project_id
    return target


def _cannot_evaluate(rule: str) -> exceptions.ServiceUnavailable:
    LOG.exception('Policy rule %s cannot be evaluated', rule)
    return exceptions.ServiceUnavailable(
        'The policy rules of the service cannot be evaluated; nothing is permitted.'
    )


def make_enforcer(conf: cfg.ConfigOpts) -> _Enforcer:
    """Build the enforcer, with the rules loaded and checked.

    :raises ConfigError: the file is missing or cannot be used.
    """
    enforcer = _Enforcer(conf)  # registers [oslo_policy]
    enforcer.policy_file = choose_file(conf)
    enforcer.suppress_default_change_warnings = True
    enforcer.register_defaults(policies.list_rules())
    try:
        enforcer.load_rules()
        enforcer.check_rules(raise_on_violation=True)
    except Exception as error:
        raise exceptions.ConfigError(
            f'The policy file {enforcer.policy_file} cannot be used: {error}'
        ) from error
    unknown = sorted(set(enforcer.file_rules) - set(enforcer.registered_rules))
    if unknown:
        LOG.info('The policy file has rules that nothing here asks for: %s', ', '.join(unknown))
    return enforcer


def choose_file(conf: cfg.ConfigOpts) -> str:
    """Return the policy file in force.

    A file that ``[oslo_policy] policy_file`` names, else ``policy.yaml``, else ``policy.json``.
    When both of the latter are there the first is in force, as in every service that uses
    oslo.policy, and a warning says so.

    :raises ConfigError: the named file does not exist.
    """
    named: str = conf.oslo_policy.policy_file
    where = conf.get_location('policy_file', 'oslo_policy')
    defaults = (cfg.Locations.opt_default, cfg.Locations.set_default)
    if where is not None and where.location not in defaults:
        if conf.find_file(named) is None:
            raise exceptions.ConfigError(f'[oslo_policy] policy_file: {named} does not exist.')
        return named
    yaml_path, json_path = conf.find_file(YAML_FILE), conf.find_file(JSON_FILE)
    if yaml_path and json_path:
        LOG.warning(
            'There are two policy files: %s is in force, %s is not read. Remove one of them, or '
            'name the one that you want in [oslo_policy] policy_file',
            yaml_path,
            json_path,
        )
    return JSON_FILE if json_path and not yaml_path else YAML_FILE
