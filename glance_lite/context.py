# SPDX-License-Identifier: Apache-2.0
"""Who asks: the identity and request id that travel with a request and with its import."""

from __future__ import annotations

import functools
from typing import Any

from oslo_context import context


class RequestContext(context.RequestContext):
    """The caller of one request.

    Roles are lower-cased, as the Images API compares them without case. ``is_admin`` is decided
    once, by the policy rule ``context_is_admin``, when the request enters.
    """

    def __init__(self, **kwargs: Any) -> None:
        roles = [role.lower() for role in kwargs.pop('roles', None) or []]
        super().__init__(roles=roles, **kwargs)

    @property
    def owner(self) -> str | None:
        """The project that owns what the caller creates."""
        return self.project_id

    def to_policy_values(self) -> Any:
        """Add what the policy rules of images look at."""
        values = dict(super().to_policy_values())
        values['is_admin'] = self.is_admin
        if self.system_scope:
            values['system'] = self.system_scope  # the name by which rules know it
        return values

    @property
    def policy_values(self) -> dict[str, Any]:
        """The caller as the policy rules see them; all but ``is_admin`` is taken once."""
        values = self._policy_values
        values['is_admin'] = self.is_admin
        return values

    @functools.cached_property
    def _policy_values(self) -> dict[str, Any]:
        return dict(self.to_policy_values())

    def to_record(self) -> dict[str, Any]:
        """Return what an import keeps of the caller. It holds no token."""
        return {
            'user_id': self.user_id,
            'project_id': self.project_id,
            'roles': list(self.roles),
            'is_admin': bool(self.is_admin),
            'request_id': self.request_id,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RequestContext:
        """Rebuild the caller of an import from :meth:`to_record`."""
        return cls(
            user_id=record.get('user_id'),
            project_id=record.get('project_id'),
            roles=record.get('roles'),
            is_admin=bool(record.get('is_admin')),
            request_id=record.get('request_id'),
            overwrite=False,
        )
