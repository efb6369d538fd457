# SPDX-License-Identifier: Apache-2.0
"""TaskFlow's ZooKeeper board. A claim lasts as long as the session of who claimed."""

from __future__ import annotations

from typing import Any

from taskflow.jobs.backends import impl_zookeeper


class ZookeeperBoard(impl_zookeeper.ZookeeperJobBoard):
    """The board under one path of a ZooKeeper ensemble. Its watch makes listing cheap."""

    def __init__(self, name: str, conf: dict[str, Any]) -> None:
        """Prepare to connect; nobody listens to notifications, so no thread sends them."""
        super().__init__(name, conf, emit_notifications=False)

    def claim(self, job: Any, who: str, expiry: float | None = None) -> None:
        """Claim; ``expiry`` is the session's business."""
        super().claim(job, who)

    def list_all(self) -> list[Any]:
        """Return all jobs, claimed or not, as the server has them now."""
        jobs: list[Any] = self._fetch_jobs(ensure_fresh=True)
        return jobs
