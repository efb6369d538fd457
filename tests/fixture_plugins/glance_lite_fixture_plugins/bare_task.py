# SPDX-License-Identifier: Apache-2.0
"""A plugin whose ``get_flow`` returns a task with no flow around it."""

from taskflow import task


class _Look(task.Task):
    def __init__(self, action_wrapper, import_req):
        self.action_wrapper = action_wrapper
        self.method = import_req['method']['name']
        super().__init__(name='Look')

    def execute(self, file_path):
        with self.action_wrapper as action:
            action.set_image_extra_properties({'bare_task': self.method})


def get_flow(**kwargs):
    return _Look(kwargs.get('action_wrapper'), kwargs.get('import_req'))
