# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-conductor``: run imports that are posted on the job board."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log

from glance_lite import configuration, exceptions
from glance_lite.supervisor import EX_CONFIG, Stop

LOG = log.getLogger(__name__)


def main() -> int:
    """Start a conductor and run it until SIGTERM or SIGINT."""
    conf = cfg.CONF
    try:
        configuration.load(conf, sys.argv[1:], prog='glance-lite-conductor')
        log.setup(conf, 'glance-lite')
        return serve(conf, _stop_by_signal())
    except exceptions.ConfigError as error:
        print(f'glance-lite-conductor: {error}', file=sys.stderr)
        return EX_CONFIG


def serve(conf: cfg.ConfigOpts, stop: Stop) -> int:
    """Run imports with a configuration that is loaded, until ``stop`` is set.

    Running imports may then end for up to ``[api] graceful_shutdown_timeout`` seconds; what still
    runs after that is left to other conductors.
    """
    from glance_lite import deploy

    conductor = deploy.load_conductor(conf)
    worker = threading.Thread(target=_run, args=(conductor,), name='conductor', daemon=True)
    worker.start()
    while not stop.wait(0.5):
        if not worker.is_alive():
            LOG.error('The conductor ended by itself')
            return os.EX_SOFTWARE
    conductor.stop()
    worker.join(conf.api.graceful_shutdown_timeout)
    if worker.is_alive():
        LOG.info('Leaving %d imports to other conductors', conductor.running)
        conductor.hand_over()
        worker.join(10)
    return os.EX_OK


def _stop_by_signal() -> Stop:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: stop.set())
    return stop


def _run(conductor: Any) -> None:
    try:
        conductor.run()
    except Exception:
        LOG.exception('The conductor failed')


if __name__ == '__main__':
    sys.exit(main())
