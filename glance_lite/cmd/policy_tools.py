# SPDX-License-Identifier: Apache-2.0
"""What the ``oslopolicy-*`` tools ask of a service: its enforcer, with the files in force."""

from __future__ import annotations

import logging as std_logging
import sys

from oslo_config import cfg
from oslo_policy import opts as policy_opts
from oslo_policy import policy

from glance_lite import exceptions
from glance_lite.policy import make_enforcer


def get_enforcer() -> policy.Enforcer:
    """Return an enforcer with the policy file that the configuration named to the tool leads to.

    :raises SystemExit: the file cannot be used; with the reason.
    """
    std_logging.getLogger('oslo_policy').setLevel(std_logging.CRITICAL)
    conf = cfg.ConfigOpts()
    conf(config_arguments(sys.argv[1:]), project='glance-lite')
    try:
        enforcer = make_enforcer(conf)
    except exceptions.ConfigError as error:
        raise SystemExit(str(error)) from error
    # oslopolicy-validator reads the file once more, by the name that the global options have
    for group, options in policy_opts.list_opts():
        cfg.CONF.register_opts(options, group=group)
    path = conf.find_file(enforcer.policy_file)
    cfg.CONF.set_override('policy_file', path or enforcer.policy_file, group='oslo_policy')
    return enforcer


def config_arguments(args: list[str]) -> list[str]:
    """Keep only what names configuration files; the rest belongs to the tool."""
    kept: list[str] = []
    for position, arg in enumerate(args):
        if arg in ('--config-file', '--config-dir'):
            kept += args[position : position + 2]
        elif arg.startswith(('--config-file=', '--config-dir=')):
            kept.append(arg)
    return kept
