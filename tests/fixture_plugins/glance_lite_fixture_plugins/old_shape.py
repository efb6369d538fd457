# SPDX-License-Identifier: Apache-2.0
"""The older shape: the image is read and saved through ``image_repo``; options are global."""

from oslo_config import cfg
from taskflow import task
from taskflow.patterns import linear_flow

CONF = cfg.CONF
CONF.register_opts(
    [
        cfg.DictOpt('properties', default={'old_shape': 'was here'}),
        cfg.IntOpt('min_disk', default=0, min=0),
    ],
    group='fixture_old_shape',
)


class _MarkImage(task.Task):
    def __init__(self, context, task_id, task_type, image_repo, image_id):
        self.context = context
        self.task_id = task_id
        self.image_repo = image_repo
        self.image_id = image_id
        super().__init__(name=f'{task_type}-MarkImage-{task_id}')

    def execute(self):
        image = self.image_repo.get(self.image_id)
        image.extra_properties.update(CONF.fixture_old_shape.properties)
        image.extra_properties['seen_by'] = ','.join(sorted(self.context.roles))
        image.min_disk = CONF.fixture_old_shape.min_disk
        image.status = 'active'
        self.image_repo.save(image)


def get_flow(**kwargs):
    return linear_flow.Flow(kwargs.get('task_type')).add(
        _MarkImage(
            kwargs.get('context'),
            kwargs.get('task_id'),
            kwargs.get('task_type'),
            kwargs.get('image_repo'),
            kwargs.get('image_id'),
        )
    )
