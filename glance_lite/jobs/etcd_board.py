# SPDX-License-Identifier: Apache-2.0
"""TaskFlow's etcd board, asked again each time instead of watched.

TaskFlow's watch has no timeout, ends in silence when the server restarts, and its threads keep a
process from ending.
"""

from __future__ import annotations

import json
from typing import Any

import etcd3gw
from taskflow.jobs.backends import impl_etcd


class EtcdBoard(impl_etcd.EtcdJobBoard):
    """The board under one path of an etcd server."""

    def connect(self) -> None:
        """Connect without a watch.

        :raises Exception: the server does not answer in time.
        """
        known = {
            name: convert(self._conf[name])
            for name, convert in self.ETCD_CONFIG_OPTIONS
            if name in self._conf
        }
        client = etcd3gw.Etcd3Client(**known)
        client.status()
        self._client = client

    def claim(self, job: Any, who: str, expiry: float | None = None) -> None:
        """Claim for a whole number of seconds, and forget the lease of an earlier claim."""
        super().claim(job, who, expiry=None if expiry is None else max(1, round(expiry)))
        job._lease = None

    def get_owner_and_data(self, job: Any) -> tuple[str | None, bytes | None]:
        """Return who claims the job and its data, unless its key belongs to another job by now."""
        owner, data = super().get_owner_and_data(job)
        if data is not None and json.loads(data)['uuid'] != job.uuid:
            return None, None
        return owner, data

    def find_owner(self, job: Any) -> str | None:
        """Return who claims the job."""
        return self.get_owner_and_data(job)[0]

    def _fetch_jobs(self, only_unclaimed: bool = False, ensure_fresh: bool = False) -> list[Any]:
        with self._job_cond:  # several threads list
            self._job_cache.clear()  # the keys of a server that was emptied come again
            jobs: list[Any] = super()._fetch_jobs(ensure_fresh=True)
            return jobs

    def _board_removal_func(self, job: Any) -> None:
        """Remove one job; TaskFlow's removal of job 1 also takes 10 to 19."""
        self._remove_job_from_cache(job.key)
        self._client.delete_prefix(job.key + '.')

    def list_all(self) -> list[Any]:
        """Return all jobs, claimed or not, as the server has them now."""
        return self._fetch_jobs()
