# SPDX-License-Identifier: Apache-2.0
"""What others are told of imports: notifications, and figures. After the commit; never raises."""

from __future__ import annotations

import dataclasses
from typing import Any

from oslo_log import log

from glance_lite.db import images
from glance_lite.db.engine import utcnow
from glance_lite.domain import task as task_domain
from glance_lite.image_import.run import ImportRun
from glance_lite.services import Services

LOG = log.getLogger(__name__)


def begun(services: Services, run: ImportRun) -> None:
    """Tell that an import begins; of its first attempt only."""
    notifier = services.notifier
    if run.task.attempts != 1:
        return
    task = dataclasses.replace(run.task, status=task_domain.PROCESSING)
    notifier.task('run', task)
    notifier.task('processing', task)
    if run.keeps_status:
        return
    _image(services, run, 'prepare')


def succeeded(services: Services, run: ImportRun) -> None:
    """Tell that an import ended well, and what its image is now."""
    if run.keeps_status:
        _image(services, run, 'update')
    else:
        _image(services, run, 'upload', 'activate')
    result = {'image_id': run.image_id}
    task = dataclasses.replace(
        run.task, status=task_domain.SUCCESS, result=result, message='', error=None
    )
    services.notifier.task('success', task)
    _count(services, run, None)


def failed(services: Services, run: ImportRun, error: dict[str, Any]) -> None:
    """Tell that an import failed, and why."""
    task = dataclasses.replace(
        run.task, status=task_domain.FAILURE, message=error['message'], error=error
    )
    services.notifier.task('failure', task)
    _count(services, run, error['code'])


def _count(services: Services, run: ImportRun, error_code: str | None) -> None:
    began = run.task.created_at or utcnow()
    seconds = (utcnow() - began).total_seconds()
    services.meter.import_ended(run.task.plan['method'], error_code, seconds, run.phases())


def _image(services: Services, run: ImportRun, *actions: str) -> None:
    """Tell what was done with the image, as it is in the database."""
    if not any(services.notifier.wants(f'image.{action}') for action in actions):
        return
    try:
        with services.db.reader() as session:
            image = images.get(session, run.image_id)
    except Exception as error:  # deleted meanwhile, or the database is away
        LOG.warning('Image %s: nobody is told of %s: %s', run.image_id, ', '.join(actions), error)
        return
    for action in actions:
        services.notifier.image(action, image)
