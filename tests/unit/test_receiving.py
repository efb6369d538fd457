# SPDX-License-Identifier: Apache-2.0
"""An upload that takes long keeps giving signs of life, and stops when it ends."""

import contextlib
import threading

import pytest
import sqlalchemy as sa

from glance_lite import exceptions, receiving
from glance_lite.db import models, uploads
from glance_lite.domain import image as domain
from tests.engine import Engine


def test_an_upload_is_spoken_for_while_it_lasts(make_conf, monkeypatch):
    monkeypatch.setattr(receiving, 'RENEW_SECONDS', 0.01)
    engine = Engine(make_conf())
    image_id = engine.create(status=domain.SAVING)
    renewed = threading.Event()

    def on_statement(connection, cursor, statement, *rest):
        if statement.startswith('UPDATE uploads'):
            renewed.set()

    with engine.services.receiving.receive() as token:
        with engine.db.writer() as session:
            uploads.begin(session, image_id, token)
            session.execute(sa.update(models.uploads).values(seen_ms=1))
        sa.event.listen(engine.db.engine, 'before_cursor_execute', on_statement)
        assert renewed.wait(10)
        renewed.clear()
        assert renewed.wait(10)  # again and again
        with engine.db.reader() as session:
            assert uploads.list_silent(session, 60_000) == []
        thread = engine.services.receiving._thread
    thread.join(10)
    assert not thread.is_alive()


def test_uploads_do_not_wait_for_ever_to_begin(make_conf, monkeypatch):
    monkeypatch.setattr(receiving, 'BEGIN_SECONDS', 0.01)
    slots = Engine(make_conf()).services.receiving
    with contextlib.ExitStack() as stack:
        for _ in range(receiving.BEGIN_AT_ONCE):
            stack.enter_context(slots.beginning())
        with pytest.raises(exceptions.ServiceUnavailable), slots.beginning():
            pass
    with slots.beginning():
        pass


def test_a_few_uploads_begin_at_once(make_conf):
    engine = Engine(make_conf())
    slots = engine.services.receiving
    inside, go_on = threading.Semaphore(0), threading.Event()

    def begin():
        with slots.beginning():
            inside.release()
            go_on.wait(10)

    threads = [threading.Thread(target=begin) for _ in range(receiving.BEGIN_AT_ONCE + 1)]
    for thread in threads:
        thread.start()
    for _ in range(receiving.BEGIN_AT_ONCE):
        assert inside.acquire(timeout=10)
    assert not inside.acquire(timeout=0.05)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert inside.acquire(timeout=10)
