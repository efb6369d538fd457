# SPDX-License-Identifier: Apache-2.0
"""TaskFlow's Redis board, oldest job first and without hidden waiting."""

from __future__ import annotations

from typing import Any

from redis import backoff, retry
from taskflow.jobs.backends import impl_redis


class RedisBoard(impl_redis.RedisJobBoard):
    """The board in one namespace of a Redis server."""

    @classmethod
    def _make_client(cls, conf: dict[str, Any]) -> Any:
        """Fail at once: the client's own retries sleep, and hide that the server was restarted."""
        client = super()._make_client(conf)
        client.set_retry(retry.Retry(backoff.NoBackoff(), 0))
        return client

    def _fetch_jobs(self) -> list[Any]:
        """Return the jobs oldest first; TaskFlow's order lets the oldest starve."""
        return sorted(super()._fetch_jobs())

    def list_all(self) -> list[Any]:
        """Return all jobs, claimed or not, as the server has them now."""
        return self._fetch_jobs()
