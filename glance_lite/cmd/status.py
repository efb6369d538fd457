# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-status upgrade check``: would this release work here?

Exit status: 0 yes, 1 look at the warnings, 2 something stops it, 255 it could not be found out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from glance_lite import configuration, deploy, exceptions
from glance_lite.cmd import manage_config
from glance_lite.maintenance import checks

_PROGRAM = 'glance-lite-status'
_ERROR = 255
_CODES = {
    checks.GOOD: upgradecheck.Code.SUCCESS,
    checks.DOUBTFUL: upgradecheck.Code.WARNING,
    checks.BAD: upgradecheck.Code.FAILURE,
}


def main(argv: Sequence[str] | None = None, conf: cfg.ConfigOpts | None = None) -> int:
    """Run the checks and return the exit status."""
    conf = cfg.CONF if conf is None else conf
    upgradecheck.register_cli_options(conf, _Checks(conf))
    try:
        configuration.load(conf, sys.argv[1:] if argv is None else argv, prog=_PROGRAM)
        deploy.register_opts(conf)
    except exceptions.ConfigError as error:
        print(f'{_PROGRAM}: {error}', file=sys.stderr)
        return _ERROR
    # a check tells what is so now; a start would wait for its database
    conf.set_override('max_retries', 1, group='database')
    if not conf.command.name:
        print(f'{_PROGRAM}: say what to do: {_PROGRAM} upgrade check', file=sys.stderr)
        return _ERROR
    # what is wrong is in the table; the log of the service is not for what an operator sees
    logging.basicConfig(
        level=logging.DEBUG if conf.debug else logging.CRITICAL,
        format='%(levelname)s %(message)s',
    )
    upgradecheck.CONF = conf  # where the library looks for --json
    return int(upgradecheck.run(conf))


class _Checks(upgradecheck.UpgradeCommands):
    """All checks, in the order in which they are printed."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        def result(check: Callable[[cfg.ConfigOpts], checks.Finding]) -> upgradecheck.Result:
            found = check(conf)
            return upgradecheck.Result(_CODES[found.state], found.sentence)

        self._upgrade_checks = tuple(
            (name, lambda self, check=check: result(check)) for name, check in _CHECKS.items()
        )


_CHECKS = {
    'Database schema': checks.check_schema,
    'Policy file': checks.check_policy,
    'Staging area': checks.check_staging,
    'Stores': checks.check_stores,
    'Import plugins': checks.check_plugins,
    'Options': manage_config.check_options,
}


if __name__ == '__main__':
    sys.exit(main())
