# SPDX-License-Identifier: Apache-2.0
"""A plugin that writes beside the staged file, fails, and has no ``revert``."""

from taskflow import task
from taskflow.patterns import linear_flow


class _Litter(task.Task):
    def __init__(self, action_wrapper, backend):
        self.action_wrapper = action_wrapper
        self.backend = backend
        super().__init__(name='Litter')

    def execute(self, file_path):
        path = file_path.split('file://')[-1]
        with open(path + '.litter', 'wb') as file:
            file.write(b'left behind')
        with self.action_wrapper as action:
            action.add_failed_stores(self.backend)
            action.set_image_attribute(status='killed')
        raise OSError(5, 'Input/output error', path)


def get_flow(**kwargs):
    return linear_flow.Flow('litter').add(
        _Litter(kwargs.get('action_wrapper'), kwargs.get('backend'))
    )
