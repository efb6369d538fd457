# SPDX-License-Identifier: Apache-2.0
"""What becomes of an import that ended: the table of outcomes, applied in one transaction.

=========================  =================================  =====================
failure                    after staged bytes (glance-direct)  after a download
=========================  =================================  =====================
refused content            ``queued``, bytes removed           ``queued``, removed
trouble elsewhere          ``uploading``, bytes kept           ``queued``, removed
=========================  =================================  =====================

An image of which copies were to be made is active, whatever fails, and stays as it is.
"""

from __future__ import annotations

import os
from typing import Any

from oslo_log import log

from glance_lite import exceptions
from glance_lite.conductor import telling
from glance_lite.db import flows, images, staged, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import import_request
from glance_lite.domain import task as task_domain
from glance_lite.image_import import checking, located, publishing
from glance_lite.image_import.flow import time_to_live
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.steps.complete_task import complete, note_strays
from glance_lite.image_import.wording import safe
from glance_lite.inspection import FormatRules
from glance_lite.remote.urls import mask_url
from glance_lite.services import Services
from glance_lite.stores import files

LOG = log.getLogger(__name__)


def explain(
    error: BaseException | None, run: ImportRun, phase: str, plugin: str | None
) -> dict[str, Any]:
    """Return the error that the owner reads: code, message, phase, plugin, retryable, request id.

    ``refused`` is in it too, for :func:`settle_failure`; the API does not show it.
    """
    if isinstance(error, exceptions.ImportCancelled):
        found = exceptions.ImportFailed('cancelled', error.message)
    elif isinstance(error, exceptions.ImportFailed):
        found = error
    elif isinstance(error, exceptions.StoreError):
        code = 'no_space' if isinstance(error, exceptions.StoreFull) else 'store_failed'
        found = exceptions.ImportFailed(code, error.message)
    elif isinstance(error, exceptions.StoreNotFound):
        found = exceptions.ImportFailed('store_failed', error.message)
    elif isinstance(error, OSError) and error.errno in files.NO_SPACE:
        found = exceptions.ImportFailed('no_space', 'There is no space left for the image data.')
    elif plugin is not None:
        text = str(error) or type(error).__name__
        found = exceptions.ImportFailed('plugin_failed', text)
    else:
        found = exceptions.ImportFailed(
            'internal_error',
            'The import failed for a fault of the service. Its log has the cause under the request '
            f'id {run.task.request_id}.',
        )
    message = safe(found.message)
    if plugin is not None and f"'{plugin}'" not in message and found.code not in _NOT_OF_PLUGINS:
        message = f"The plugin '{plugin}' {_VERB[found.refused]}: {message}"
    if task_domain.makes_image(run.task):
        message = _with_source(message, run)
    return {
        'code': found.code,
        'message': message,
        'phase': phase,
        'plugin': plugin,
        'retryable': found.retryable,
        'request_id': run.task.request_id,
        'refused': found.refused,
    }


def _with_source(message: str, run: ImportRun) -> str:
    """Return the message of a task with the URL that it is about, without its secrets."""
    source = mask_url(run.task.plan['source'])
    if source in message:
        return message
    return f'{message}{"" if message.endswith((".", "!", "?")) else "."} The URL was {source}'


#: Errors that are no plugin's fault, wherever they come.
_NOT_OF_PLUGINS = ('cancelled', 'deadline_exceeded')
_VERB = {True: 'refused the image', False: 'failed'}


def settle_success(services: Services, run: ImportRun) -> None:
    """See that an import whose flow ended well is recorded as such."""
    if not run.is_settled:
        complete(services.db, run, time_to_live(services))
    telling.succeeded(services, run)
    LOG.info('Import %s of image %s: done', run.task.task_id, run.image_id)


def is_published(services: Services, run: ImportRun) -> bool:
    """Tell whether an earlier attempt published what it brought and died before it could say so.

    Nothing of such an import may be undone, whatever was asked for since: its bytes are in use.
    """
    if run.lease.gen == 1:
        return False
    with services.db.reader() as session:
        try:
            image = images.get(session, run.image_id)
        except exceptions.ImageNotFound:
            return False
    if image.status not in domain.HAS_DATA or image.import_task_id != run.task.task_id:
        return False
    # a copy goes to stores that had none
    return not run.keeps_status or any(
        location.store in run.task.plan['stores'] for location in image.locations
    )


def settle_published(services: Services, run: ImportRun) -> None:
    """Finish an import that :func:`is_published`: clear its staged data and record the success."""
    services.staging.remove_all(run.image_id, run.lease.check)
    if run.task.plan['method'] == import_request.LOCATION:
        _finish_hash(services, run)
    settle_success(services, run)


def _finish_hash(services: Services, run: ImportRun) -> None:
    """Give an image its hashes that an attempt before this one was to give it."""
    conf = services.conf
    store_id = run.task.plan['store']
    tried_enough = run.task.attempts > conf['import'].max_attempts
    if tried_enough or not located.is_hash_wanted(run) or store_id not in services.stores:
        return
    located.add_hashes(
        services.db,
        run,
        services.stores.get(store_id),
        FormatRules.from_conf(conf),
        conf.hashing_algorithm,
        conf.image_size_cap,
    )


def settle_failure(services: Services, run: ImportRun) -> None:
    """Undo what is left of a failed import, and tell the owner why. May be called again.

    Files go before the records: a crash between leaves work for the next attempt, and no litter.
    """
    error = run.error or explain(None, run, run.phase, run.plugin)
    if _is_deleted(services, run):  # whatever failed, it failed for want of its image
        gone = exceptions.ImportCancelled('The image was deleted.')
        error = explain(gone, run, error['phase'], error['plugin'])
    run.lease.check()
    kept = _kept_staged(services, run, error)
    away = _remove_bytes(services, run, kept)

    def work(session: Session) -> None:
        run.lease.end(session)
        note_strays(session, run, run.task.plan['stores'] if run.lease.gen > 1 else away)
        flows.forget(session, run.task.task_id)
        if run.task.plan['method'] == import_request.CHECK:
            checking.abandon(session, run.task, error)
        run.subject.release(session, error, run.task.plan['stores'], kept is not None)
        if kept is None:
            staged.delete(session, run.image_id)
        elif run.task.plan['plugins']:
            staged.update_facts(session, run.image_id, kept.facts | {'was_lent': True})
        tasks.finish(
            session,
            run.task.task_id,
            task_domain.FAILURE,
            time_to_live(services),
            message=error['message'],
            error=error,
            progress=run.progress(),
            receipts=list(run.receipts.values()),
            plan=run.final_plan(),
            draft=None,
        )

    services.db.transact(work, done=run.lease.is_over)
    run.is_settled = True
    telling.failed(services, run, error)
    LOG.warning(
        'Import %s of image %s: failed in %s: %s (%s)',
        run.task.task_id,
        run.image_id,
        error['phase'],
        error['message'],
        error['code'],
    )


def _is_deleted(services: Services, run: ImportRun) -> bool:
    with services.db.reader() as session:
        try:
            run.subject.read_bare(session)
        except exceptions.ImageNotFound:
            return True
    return False


def _kept_staged(services: Services, run: ImportRun, error: dict[str, Any]) -> staged.Staged | None:
    """Return the staged data that another try may use; None if none may."""
    if error['refused'] or run.task.plan['method'] != 'glance-direct':
        return None
    with services.db.reader() as session:
        found = staged.get(session, run.image_id)
    return None if found is None or _was_written_to(services, found) else found


def _was_written_to(services: Services, found: staged.Staged) -> bool:
    """Tell whether a plugin changed the staged bytes themselves: they must not be used again."""
    if found.area != services.staging.area_id:
        return False
    try:
        info = os.stat(services.staging.path(found.file_name))
    except FileNotFoundError:
        return True
    return (info.st_size, info.st_mtime_ns) != (found.facts['size'], found.facts['mtime_ns'])


def _remove_bytes(services: Services, run: ImportRun, kept: staged.Staged | None) -> list[str]:
    """Remove what the import left; return the stores that are away, and still have some."""
    away = []
    for store_id in run.task.plan['stores']:
        if store_id in services.stores:
            try:
                publishing.discard_attempts(
                    services.db, services.stores, run, services.stores.get(store_id)
                )
            except Exception as error:
                # the owner's answer does not wait for a store that is away
                LOG.warning(
                    'Import %s: store %s still has data: %s', run.task.task_id, store_id, error
                )
                away.append(store_id)
    names = services.staging.list_files(run.image_id)
    run.lease.check()
    for name in names:
        if kept is None or name != kept.file_name:
            services.staging.remove(name)
    return away
