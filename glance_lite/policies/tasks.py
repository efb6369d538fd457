# SPDX-License-Identifier: Apache-2.0
"""Rules of tasks. ``tasks_api_access`` opens all of them; projects see their own tasks alone."""

from __future__ import annotations

from oslo_policy import policy

from glance_lite.policies import base

_SCOPES = ['project']
_TASKS, _TASK = '/v2/tasks', '/v2/tasks/{task_id}'
_CANCEL = '/v2/tasks/{task_id}/actions/cancel'

_RULES: list[policy.RuleDefault] = [
    policy.DocumentedRuleDefault(
        'tasks_api_access',
        base.ADMIN,
        'Use tasks at all; the rules below are asked after this one. Interoperable import does not '
        'ask it.',
        [
            {'path': _TASKS, 'method': 'GET'},
            {'path': _TASKS, 'method': 'POST'},
            {'path': _TASK, 'method': 'GET'},
            {'path': _CANCEL, 'method': 'POST'},
        ],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'add_task',
        '',
        'Begin a task that makes an image. The rules of the image are asked as well.',
        [{'path': _TASKS, 'method': 'POST'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_task',
        '',
        'Show a task of the project.',
        [{'path': _TASK, 'method': 'GET'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'get_tasks',
        '',
        'List the tasks of the project.',
        [{'path': _TASKS, 'method': 'GET'}],
        scope_types=_SCOPES,
    ),
    policy.DocumentedRuleDefault(
        'modify_task',
        '',
        'Cancel a task of the project.',
        [{'path': _CANCEL, 'method': 'POST'}],
        scope_types=_SCOPES,
    ),
]


def list_rules() -> list[policy.RuleDefault]:
    """Return the rules of this module."""
    return _RULES
