# SPDX-License-Identifier: Apache-2.0
"""Options of ``[metrics]``: where Prometheus finds the figures of this host."""

from __future__ import annotations

from oslo_config import cfg

GROUP = 'metrics'
OPTS = [
    cfg.PortOpt(
        'bind_port',
        help='TCP port of the figures for Prometheus. Unset: nothing is counted or offered. It is '
        'never the port of the API.',
    ),
    cfg.HostAddressOpt(
        'bind_host',
        default='127.0.0.1',
        help='Address of that port. Nobody is asked for a token there.',
    ),
    cfg.StrOpt(
        'directory',
        help='Directory where the processes of this host keep what they count. Needed where '
        'several programs with this configuration run on one host, as under another WSGI server. '
        'Unset: each program has a temporary one.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[metrics]`` on ``conf``."""
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for the sample generator."""
    return [(GROUP, OPTS)]
