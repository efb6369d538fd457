# SPDX-License-Identifier: Apache-2.0
"""Data that lies elsewhere: measure it, and give an active image the hashes of it."""

from __future__ import annotations

from typing import Any

from oslo_log import log

from glance_lite import exceptions, image_data, inspection
from glance_lite.db import images
from glance_lite.db.engine import Database, Session
from glance_lite.domain import image as domain
from glance_lite.image_import.run import ImportRun
from glance_lite.inspection import FormatRules, Inspector
from glance_lite.stores.base import Store, StoreReader

LOG = log.getLogger(__name__)


def open_data(run: ImportRun, store: Store, url: str | None = None) -> StoreReader:
    """Open the data that a task is about, or that under ``url``.

    :raises ImportFailed: with the reason that the source gives, if it gives one.
    """
    try:
        return store.open_reader(url or run.task.plan['uri'])
    except exceptions.StoreError as error:
        if isinstance(error.__cause__, exceptions.ImportFailed):
            raise error.__cause__ from None
        raise exceptions.ImportFailed('store_failed', error.message) from error


def measure(
    run: ImportRun,
    store: Store,
    hash_algo: str,
    max_bytes: int,
    url: str | None = None,
    inspector: Inspector | None = None,
) -> image_data.Facts:
    """Read the data of the task, or that under ``url``, once: hashes and format.

    :param inspector: one that may refuse what it sees.
    :raises ImportFailed: it cannot be read, or is larger than the limit.
    """
    reader = open_data(run, store, url)
    run.bytes_done, run.bytes_total = 0, reader.length
    expected = (run.task.plan['validation'] or {}).get('os_hash_algo')
    try:
        return image_data.transfer(
            reader,
            lambda piece: None,
            hash_algo=hash_algo,
            more_hashes=(expected,) if expected else (),
            max_bytes=max_bytes,
            inspector=inspector,
            advance=run.advance,
        )
    except exceptions.LimitExceeded as error:
        raise exceptions.ImportFailed('too_large', error.message) from error
    finally:
        reader.close()


def is_hash_wanted(run: ImportRun) -> bool:
    """Whether an image that is active already still gets its hashes."""
    plan = run.task.plan
    return bool(plan['do_secure_hash'] and plan['validation'] is None)


def add_hashes(
    db: Database,
    run: ImportRun,
    store: Store,
    rules: FormatRules,
    hash_algo: str,
    max_bytes: int,
) -> None:
    """Give an active image the hashes of its data. Trouble is logged, and the image has none.

    Data that is unsafe, or of another format than declared, takes the image out of service: it is
    deactivated, and says why.
    """
    try:
        with db.reader() as session:
            image = images.get_bare(session, run.image_id)
        if image.os_hash_value is not None:
            return
        facts = measure(run, store, hash_algo, max_bytes)
        if facts.size != image.size:
            raise exceptions.ImportFailed('source_changed', 'The data has another size now.')
        refused = _refusal(rules, facts, image)
        undeclared = inspection.undeclared(facts.finding.formats, image.disk_format)
        properties = {domain.CONTENT_FORMAT: undeclared}
        if refused is not None:
            properties[domain.IMPORT_ERROR] = f'{refused.code}: {refused.message}'
        db.transact(lambda session: _record(session, run, facts.columns, properties, refused))
    except exceptions.LeaseLost:
        raise
    except Exception as error:
        run.give_way(error)
        LOG.warning('Image %s gets no hash: %s', run.image_id, error)


def _refusal(
    rules: FormatRules, facts: image_data.Facts, image: domain.Image
) -> exceptions.ImportFailed | None:
    try:
        rules.check(facts.finding, image.disk_format, image.container_format)
    except exceptions.ImportFailed as error:
        return error
    return None


def _record(
    session: Session,
    run: ImportRun,
    columns: dict[str, Any],
    properties: dict[str, str | None],
    refused: exceptions.ImportFailed | None,
) -> None:
    run.guard(session)
    if not images.update(
        session, run.image_id, from_status=domain.HAS_DATA, held_by=run.task.task_id, **columns
    ):
        raise exceptions.ImportCancelled('The image was deleted.')
    images.set_properties(session, run.image_id, properties)
    if refused is None:
        return
    images.update(session, run.image_id, from_status=domain.ACTIVE, status=domain.DEACTIVATED)
    LOG.warning('Image %s is deactivated: %s', run.image_id, refused.message)
