# SPDX-License-Identifier: Apache-2.0
"""``complete-task``: let go of the image, record the success, and remove what it took."""

from __future__ import annotations

import datetime

from oslo_log import log

from glance_lite.db import flows, images, removals, staged, tasks
from glance_lite.db.engine import Database, Session, is_outage
from glance_lite.domain import image as domain
from glance_lite.domain import task as task_domain
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step

LOG = log.getLogger(__name__)


class CompleteTask(Step):
    """Finish the task. Never raises: what is missing, the conductor's outcome adds."""

    def __init__(self, run: ImportRun, db: Database, time_to_live: datetime.timedelta) -> None:
        super().__init__('complete-task', run)
        self._db = db
        self._time_to_live = time_to_live

    def pre_execute(self) -> None:
        """Go on even when cancelled: too late."""
        self.run.lease.check()

    def execute(self) -> None:
        """Record the success; trouble is logged."""
        try:
            complete(self._db, self.run, self._time_to_live)
        except Exception as error:
            if not is_outage(error):  # else it is tried again at once, or by another attempt
                LOG.exception('Import %s: the task was not completed', self.run.task.task_id)


def complete(db: Database, run: ImportRun, time_to_live: datetime.timedelta) -> None:
    """Let go of an active image and make its task a success: the import is settled."""

    def work(session: Session) -> None:
        run.lease.end(session)
        images.update(
            session,
            run.image_id,
            held_by=run.task.task_id,
            import_task_id=None,
            from_status=(domain.ACTIVE, domain.DEACTIVATED),
        )
        images.set_properties(session, run.image_id, {domain.IMPORT_TASK: None})
        staged.delete(session, run.image_id)
        if run.is_persisted:
            flows.forget(session, run.task.task_id)
        if run.lease.gen > 1:
            note_strays(session, run, run.task.plan['stores'])
        tasks.finish(
            session,
            run.task.task_id,
            task_domain.SUCCESS,
            time_to_live,
            result=_result(run),
            progress=run.progress(),
            receipts=list(run.receipts.values()),
            plan=run.final_plan(),
            draft=None,
            message='',
            error=None,  # a retry of a plugin's own may have mended what went wrong
        )

    db.transact(work, done=run.lease.is_over)
    run.is_settled = True


def _result(run: ImportRun) -> dict[str, str]:
    result = {'image_id': run.image_id}
    if task_domain.makes_image(run.task):
        result['image_uuid'] = run.image_id  # as the first description of such tasks had it
    return result


def note_strays(session: Session, run: ImportRun, stores: list[str]) -> None:
    """Have janitors look whether something of this import is left in stores.

    A store may have been away, or an earlier attempt that stands still may still finish its copy.
    """
    for store_id in stores:
        removals.note_attempts(session, run.image_id, store_id)
