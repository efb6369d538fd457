# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-api``: serve the Images API, with a conductor beside it unless told otherwise."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import sys

from oslo_config import cfg
from oslo_log import log

from glance_lite import configuration, exceptions
from glance_lite.cmd import conductor
from glance_lite.cmd.reloading import Reloader, hold_hangups
from glance_lite.middleware import identity
from glance_lite.notifications import NOTIFYING_SECONDS
from glance_lite.supervisor import EX_CONFIG, Stop, Supervisor

LOG = log.getLogger(__name__)

_PROGRAM = 'glance-lite-api'
#: API workers at most when nobody said how many.
_MOST_WORKERS = 4


def main() -> int:
    """Run the service until SIGTERM or SIGINT; exit 78 when the configuration cannot be used."""
    hold_hangups()
    conf = cfg.CONF
    args = sys.argv[1:]
    if args and not args[0].startswith('-'):
        args = ['--config-file', *args]  # glance-api CONFFILE, as it always was
    try:
        configuration.load(conf, args, prog=_PROGRAM)
        log.setup(conf, 'glance-lite')
        require_safe_address(conf)
        check(conf)
        return serve(conf, Reloader(conf, args, _PROGRAM))
    except exceptions.ConfigError as error:
        print(f'{_PROGRAM}: {error}', file=sys.stderr)
        return EX_CONFIG


def require_safe_address(conf: cfg.ConfigOpts) -> None:
    """Refuse to offer an unauthenticated service to a network.

    :raises ConfigError: naming the options that decide.
    """
    if identity.strategy(conf) != 'none' or conf.api.allow_unauthenticated_network:
        return
    if not _is_loopback(conf.bind_host):
        raise exceptions.ConfigError(
            f'bind_host = {conf.bind_host} is not a loopback address, and nobody would be asked '
            'for a token. Set [keystone_authtoken] and [api] auth_strategy = keystone, or, if '
            'everybody who reaches the port may do everything, '
            '[api] allow_unauthenticated_network = true.'
        )


def check(conf: cfg.ConfigOpts) -> None:
    """Build everything once in a process of its own, so that what cannot work is told once.

    :raises ConfigError: it cannot work; the process has printed why.
    :raises SystemExit: the process was killed, which tells nothing of the configuration.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _try_to_build(conf)
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name
        print(f'{_PROGRAM}: the check of the configuration was ended by {name}.', file=sys.stderr)
        raise SystemExit(os.EX_TEMPFAIL)
    if code:
        raise exceptions.ConfigError('not started.')


def serve(conf: cfg.ConfigOpts, reloader: Reloader) -> int:
    """Bind the port, fork the processes and look after them until the end."""
    from glance_lite import exporting, server

    try:
        listener = server.open_listener(conf.bind_host, conf.bind_port, conf.backlog)
    except OSError as error:
        raise exceptions.ConfigError(
            f'cannot listen on {conf.bind_host}:{conf.bind_port}: {error.strerror or error}.'
        ) from error
    exporter = exporting.Exporter.from_conf(conf)
    _share_modules(conf)
    supervisor = Supervisor(conf.api.graceful_shutdown_timeout + 15)
    supervisor.add(
        'api', lambda stop: _serve_requests(conf, listener, stop, reloader), worker_count(conf)
    )
    if not conf.api_only:
        supervisor.add('conductor', lambda stop: conductor.serve(conf, stop, reloader))
    if exporter.listener is not None:
        supervisor.add('metrics', lambda stop: exporter.serve(conf, stop.wait))
    reloader.guard(supervisor)
    # each process has the socket: while one keeps it, connections are taken that nobody answers
    supervisor.on_stop(lambda: listener.shutdown(socket.SHUT_RDWR))
    LOG.info('Listening on http://%s:%d', conf.bind_host, listener.getsockname()[1])
    try:
        return supervisor.run()
    finally:
        exporter.close()


def worker_count(conf: cfg.ConfigOpts) -> int:
    """Return how many API processes to run."""
    return conf.workers or min(_MOST_WORKERS, len(os.sched_getaffinity(0)))


def _share_modules(conf: cfg.ConfigOpts) -> None:
    """Import before the fork what the processes need, so that they share its memory."""
    from glance_lite import deploy, server  # noqa: F401

    if not conf.api_only:
        import glance_lite.conductor.conductor  # noqa: F401
    gc.collect()
    gc.freeze()  # a collection in a child then leaves the shared pages alone


def _serve_requests(
    conf: cfg.ConfigOpts, listener: socket.socket, stop: Stop, reloader: Reloader
) -> int:
    from glance_lite import deploy, server

    options = server.ServerOptions(
        request_threads=conf.api.request_threads,
        body_threads=conf.api.body_threads,
        client_socket_timeout_seconds=conf.client_socket_timeout,
        body_idle_timeout_seconds=conf.client_socket_timeout,
        graceful_shutdown_timeout_seconds=conf.api.graceful_shutdown_timeout,
    )
    services = deploy.build_services(conf)
    app = deploy.loadapp(conf, services)
    reloader.follow(services, stop.hangup)
    server.Server(app, listener, options).serve(stop)
    services.notifier.close(NOTIFYING_SECONDS)
    return 0


def _try_to_build(conf: cfg.ConfigOpts) -> int:
    from glance_lite import deploy

    try:
        deploy.load_conductor(conf)
        deploy.loadapp(conf)
        configuration.warn_of_unknown(conf)
    except exceptions.ConfigError as error:
        print(f'{_PROGRAM}: {error}', file=sys.stderr)
        return EX_CONFIG
    except Exception as error:
        LOG.exception('The service cannot be built')
        print(f'{_PROGRAM}: {type(error).__name__}: {error}', file=sys.stderr)
        return 1
    return 0


def _is_loopback(host: str) -> bool:
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == '__main__':
    sys.exit(main())
