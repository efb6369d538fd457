# SPDX-License-Identifier: Apache-2.0
"""The older shape of a plugin that converts: new data beside the old, image saved by the repo."""

import os

from taskflow import task
from taskflow.patterns import linear_flow


class _Convert(task.Task):
    default_provides = 'file_path'

    def __init__(self, task_id, task_type, image_repo, image_id):
        self.image_repo = image_repo
        self.image_id = image_id
        self.dest_path = ''
        super().__init__(name=f'{task_type}-Convert-{task_id}')

    def execute(self, file_path, **kwargs):
        source = file_path.split('file://')[-1]
        self.dest_path = source + '.raw'
        with open(source, 'rb') as old, open(self.dest_path, 'wb') as new:
            new.write(bytes(512) + old.read())
        image = self.image_repo.get(self.image_id)
        image.virtual_size = os.path.getsize(self.dest_path)
        image.disk_format = 'raw'
        image.container_format = 'bare'
        self.image_repo.save(image)
        os.remove(source)
        return 'file://' + self.dest_path

    def revert(self, result=None, **kwargs):
        if result is not None and os.path.exists(self.dest_path):
            os.remove(self.dest_path)


def get_flow(**kwargs):
    return linear_flow.Flow(kwargs.get('task_type')).add(
        _Convert(
            kwargs.get('task_id'),
            kwargs.get('task_type'),
            kwargs.get('image_repo'),
            kwargs.get('image_id'),
        )
    )
