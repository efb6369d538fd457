# SPDX-License-Identifier: Apache-2.0
"""A plugin that always fails, with an exception and a message of its own."""

from taskflow import task
from taskflow.patterns import linear_flow


class X(Exception):
    """What a stranger's plugin raises: no class that the service knows."""


class _Scan(task.Task):
    def __init__(self, task_id, task_type):
        super().__init__(name=f'{task_type}-Scan-{task_id}')

    def execute(self):
        raise X('virus found')

    def revert(self, result=None, **kwargs):
        return None


def get_flow(**kwargs):
    return linear_flow.Flow(kwargs.get('task_type')).add(
        _Scan(kwargs.get('task_id'), kwargs.get('task_type'))
    )
