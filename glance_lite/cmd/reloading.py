# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: read the configuration again, and put into force what may change, or nothing of it.

How files are read and compared is ``configuration.py``; what is built from them is ``deploy.py``.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence

from oslo_config import cfg
from oslo_log import log

from glance_lite import configuration, exceptions
from glance_lite.services import Services
from glance_lite.supervisor import EX_CONFIG, Hangup, Stop, Supervisor

LOG = log.getLogger(__name__)


def hold_hangups() -> None:
    """Let a SIGHUP wait until the program, which has just begun, looks after it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))


class Reloader:
    """Reads again what a program was started with.

    In a service of several processes all read the files by themselves. A process of its own checks
    them first and tells what it finds; only then the supervisor and its children follow, and each
    of them refuses by itself what it cannot use.
    """

    def __init__(self, conf: cfg.ConfigOpts, args: Sequence[str], prog: str) -> None:
        """Take a configuration that is loaded, and what it was loaded with."""
        self._conf = conf
        self._args = args
        self._prog = prog

    def guard(self, supervisor: Supervisor) -> None:
        """Let a SIGHUP pass to the children of ``supervisor`` only with files that can be used."""
        supervisor.on_hangup('check of the configuration', self._check, self._accept)

    def follow(self, services: Services, hangup: Hangup, *, alone: bool = False) -> None:
        """Reload ``services`` at each SIGHUP from now on, in a thread.

        :param alone: nobody has checked the files and told what they change.
        """
        threading.Thread(
            target=self._follow, args=(services, hangup, alone), name='reload', daemon=True
        ).start()

    def reload(self, services: Services, *, alone: bool = False) -> bool:
        """Put the rules of the files into force, or log why they cannot be and tell so."""
        from glance_lite import deploy

        try:
            reading = self._read(services.conf)
            rules = deploy.build_rules(reading.conf)
            _follow_log(reading.conf)
            if alone:
                _tell(reading)
        except Exception as error:
            reason = error
        else:
            services.rules = rules
            for store in services.stores:
                store.reconfigure(reading.conf)
            if reading.changes:
                LOG.info('The configuration is reloaded')
            return True
        return _refuse(reason)

    def _follow(self, services: Services, hangup: Hangup, alone: bool) -> None:
        while hangup.take():
            self.reload(services, alone=alone)

    def _check(self, stop: Stop) -> int:
        from glance_lite import deploy
        from glance_lite.plugin import loader

        try:
            # what the children have registered can be compared only if it is registered here too
            deploy.register_opts(self._conf)
            loader.load_plugins(self._conf)
            reading = self._read(self._conf)
            deploy.build_rules(reading.conf)
            _follow_log(reading.conf)
            _tell(reading)
        except Exception as error:
            reason = error
        else:
            return os.EX_OK
        _refuse(reason)
        return EX_CONFIG

    def _accept(self) -> bool:
        try:
            configuration.adopt(self._conf, self._read(self._conf))
        except Exception as error:
            reason = error
        else:
            return True
        return _refuse(reason)

    def _read(self, conf: cfg.ConfigOpts) -> configuration.Reading:
        return configuration.read_again(conf, self._args, self._prog)


def _follow_log(conf: cfg.ConfigOpts) -> None:
    """Log as ``conf`` says from now on: ``debug``, or the file of ``log_config_append``."""
    if conf.log_config_append:
        log.setup(conf, 'glance-lite')  # which looks whether the file was changed
    else:
        logging.getLogger().setLevel(logging.DEBUG if conf.debug else logging.INFO)


def _refuse(reason: Exception) -> bool:
    """Log why; outside of an ``except``, where oslo.log would say it twice."""
    LOG.error(
        'The configuration is not reloaded, and everything stays as it was: %s',
        reason,
        exc_info=None if isinstance(reason, exceptions.ConfigError) else reason,
    )
    return False


def _tell(reading: configuration.Reading) -> None:
    for change in reading.changes:
        LOG.info('Reloading the configuration: %s', change)
    for name in reading.postponed:
        LOG.warning('%s was changed; it takes effect at the next start', name)
    if not reading.changes and not reading.postponed:
        LOG.info('Reloading the configuration: nothing changed')
    configuration.warn_of_unknown(reading.conf)
