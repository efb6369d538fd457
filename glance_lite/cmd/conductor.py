# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-conductor``: run imports that are posted on the job board."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from oslo_config import cfg
from oslo_log import log

from glance_lite import configuration, exceptions
from glance_lite.cmd.reloading import Reloader, hold_hangups
from glance_lite.notifications import NOTIFYING_SECONDS
from glance_lite.supervisor import EX_CONFIG, Stop

LOG = log.getLogger(__name__)

_PROGRAM = 'glance-lite-conductor'


def main() -> int:
    """Start a conductor and run it until SIGTERM or SIGINT."""
    hold_hangups()
    conf = cfg.CONF
    args = sys.argv[1:]
    try:
        configuration.load(conf, args, prog=_PROGRAM)
        log.setup(conf, 'glance-lite')
        return serve(conf, _stop_by_signal(), Reloader(conf, args, _PROGRAM), alone=True)
    except exceptions.ConfigError as error:
        print(f'{_PROGRAM}: {error}', file=sys.stderr)
        return EX_CONFIG


def serve(conf: cfg.ConfigOpts, stop: Stop, reloader: Reloader, *, alone: bool = False) -> int:
    """Run imports with a configuration that is loaded, until ``stop`` is set.

    Running imports may then end for up to ``[api] graceful_shutdown_timeout`` seconds; what still
    runs after that is left to other conductors.
    """
    from glance_lite import deploy, exporting

    exporter = exporting.Exporter(None, None)
    if alone:  # else the program that started it offers the figures
        exporter = exporting.Exporter.from_conf(conf)
        offer = threading.Thread(
            target=exporter.serve, args=(conf, stop.wait), name='exporter', daemon=True
        )
        offer.start()
    services = deploy.build_services(conf)
    conductor = deploy.load_conductor(conf, services)
    reloader.follow(services, stop.hangup, alone=alone)
    worker = threading.Thread(target=_run, args=(conductor,), name='conductor', daemon=True)
    worker.start()
    code = _wait_for_end(conductor, worker, stop)
    conductor.stop()
    LOG.info('No import is begun any more; %d still run', conductor.running)
    until = time.monotonic() + conf.api.graceful_shutdown_timeout
    while conductor.running and worker.is_alive() and time.monotonic() < until:
        time.sleep(0.05)
    if conductor.running:
        LOG.info('Leaving %d imports to other conductors', conductor.running)
        conductor.hand_over()
    worker.join(10)
    exporter.close()
    services.notifier.close(NOTIFYING_SECONDS)
    if alone and worker.is_alive():
        # steps that do not end would keep the process for ever
        logging.shutdown()
        os._exit(code)
    return code


def _wait_for_end(conductor: Any, worker: threading.Thread, stop: Stop) -> int:
    """Return the exit code when it is time to end."""
    while not stop.wait(0.5):
        if not worker.is_alive():
            LOG.error('The conductor ended by itself')
            return os.EX_SOFTWARE
        if conductor.is_exhausted:
            LOG.error('Too many steps of imports do not end: the conductor is to be started anew')
            return os.EX_SOFTWARE
    return os.EX_OK


def _stop_by_signal() -> Stop:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: stop.set())
    signal.signal(signal.SIGHUP, lambda signum, frame: stop.hangup.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
    return stop


def _run(conductor: Any) -> None:
    try:
        conductor.run()
    except Exception:
        LOG.exception('The conductor failed')


if __name__ == '__main__':
    sys.exit(main())
