# SPDX-License-Identifier: Apache-2.0
"""A plugin that provides ``file_path`` and gives None: the data stays as it is."""

from taskflow import task
from taskflow.patterns import linear_flow


class _Nothing(task.Task):
    default_provides = 'file_path'

    def execute(self, file_path):
        return None


def get_flow(**kwargs):
    return linear_flow.Flow('nothing').add(_Nothing('Look'))
