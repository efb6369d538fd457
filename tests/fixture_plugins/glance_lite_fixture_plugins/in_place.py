# SPDX-License-Identifier: Apache-2.0
"""A plugin that unpacks gzip data and puts the result under the name of the staged file itself."""

import gzip
import os
import shutil

from taskflow import task
from taskflow.patterns import linear_flow


class _Unpack(task.Task):
    default_provides = 'file_path'

    def __init__(self, task_id, task_type, image_repo, image_id):
        self.image_repo = image_repo
        self.image_id = image_id
        self.dest_path = ''
        super().__init__(name=f'{task_type}-Unpack-{task_id}')

    def execute(self, file_path, **kwargs):
        source = file_path.split('file://')[-1]
        self.dest_path = source + '.uc'
        image = self.image_repo.get(self.image_id)
        if image.container_format == 'compressed':
            return 'file://' + source
        with open(source, 'rb') as file:
            packed = file.read(2) == b'\x1f\x8b'
        if packed:
            with gzip.open(source, 'rb') as old, open(self.dest_path, 'wb') as new:
                shutil.copyfileobj(old, new)
            os.replace(self.dest_path, source)
        return 'file://' + source

    def revert(self, result=None, **kwargs):
        if result is not None and os.path.exists(self.dest_path):
            os.remove(self.dest_path)


def get_flow(**kwargs):
    return linear_flow.Flow(kwargs.get('task_type')).add(
        _Unpack(
            kwargs.get('task_id'),
            kwargs.get('task_type'),
            kwargs.get('image_repo'),
            kwargs.get('image_id'),
        )
    )
