# SPDX-License-Identifier: Apache-2.0
"""The newer shape: everything goes through ``action_wrapper``, in one save."""

from taskflow import task
from taskflow.patterns import linear_flow


class _Describe(task.Task):
    def __init__(self, context, task_id, task_type, action_wrapper):
        self.action_wrapper = action_wrapper
        self.image_id = action_wrapper.image_id
        super().__init__(name=f'{task_type}-Describe-{task_id}')

    def execute(self):
        self.action_wrapper.assert_task_lock()
        with self.action_wrapper as action:
            assert action.image_id == self.image_id
            assert action.image_status == 'importing'
            assert action.image_locations == []
            action.set_image_extra_properties(
                {
                    'new_shape': f'{action.image_disk_format} in {action.image_container_format}',
                    'os_glance_secret': 'never kept',
                    'user_word': 'from the operator',
                }
            )
            action.set_image_attribute(status='active', virtual_size=4096)


def get_flow(**kwargs):
    return linear_flow.Flow(kwargs.get('task_type')).add(
        _Describe(
            kwargs.get('context'),
            kwargs.get('task_id'),
            kwargs.get('task_type'),
            kwargs.get('action_wrapper'),
        )
    )
