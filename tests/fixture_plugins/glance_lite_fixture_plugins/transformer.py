# SPDX-License-Identifier: Apache-2.0
"""The newer shape of a plugin that converts; its revert touches status, stores and both files."""

import os

from taskflow import task
from taskflow.patterns import linear_flow


class _Convert(task.Task):
    default_provides = 'file_path'

    def __init__(self, context, task_id, task_type, action_wrapper, stores):
        self.action_wrapper = action_wrapper
        self.stores = stores
        self.src_path = ''
        self.dest_path = ''
        super().__init__(name=f'{task_type}-Convert-{task_id}')

    def execute(self, file_path, **kwargs):
        with self.action_wrapper as action:
            self.src_path = file_path.split('file://')[-1]
            self.dest_path = self.src_path + '.raw'
            with open(self.src_path, 'rb') as old, open(self.dest_path, 'wb') as new:
                new.write(bytes(512) + old.read())
            size = os.path.getsize(self.dest_path)
            action.set_image_attribute(virtual_size=size)
            action.set_image_attribute(disk_format='raw', container_format='bare')
            action.set_image_attribute(size=size)
            os.remove(self.src_path)
            return 'file://' + self.dest_path

    def revert(self, result=None, **kwargs):
        if result is not None and os.path.exists(self.dest_path):
            os.remove(self.dest_path)
        with self.action_wrapper as action:
            action.set_image_attribute(status='queued')
            if self.stores:
                action.remove_importing_stores(self.stores)
                action.add_failed_stores(self.stores)
        if self.src_path and os.path.exists(self.src_path):
            os.remove(self.src_path)


def get_flow(**kwargs):
    return linear_flow.Flow(kwargs.get('task_type')).add(
        _Convert(
            kwargs.get('context'),
            kwargs.get('task_id'),
            kwargs.get('task_type'),
            kwargs.get('action_wrapper'),
            kwargs.get('backend', []),
        )
    )
