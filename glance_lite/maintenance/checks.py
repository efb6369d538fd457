# SPDX-License-Identifier: Apache-2.0
"""What an operator wants to know before a new release is started: would it work here?

Each check looks at one part and changes nothing that a start would not change, too. Whether there
are other checks, and how they are printed, is ``cmd/status.py``'s business.
"""

from __future__ import annotations

import dataclasses

from oslo_config import cfg
from oslo_utils import fileutils

from glance_lite import exceptions, policy
from glance_lite.db import ownership, schema
from glance_lite.db.connecting import unusable
from glance_lite.db.engine import Database, is_outage
from glance_lite.plugin import loader
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea

GOOD, DOUBTFUL, BAD = range(3)


@dataclasses.dataclass(frozen=True)
class Finding:
    """How a part is, and a sentence about it."""

    state: int
    sentence: str | None = None


def check_schema(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the database has the schema that this release needs."""
    try:
        db = Database.from_conf(conf)
        found = schema.current(db)
    except exceptions.ConfigError as error:
        return Finding(BAD, str(error))
    except Exception as error:
        if not is_outage(error):
            raise
        return Finding(BAD, str(unusable(error)))
    wanted = schema.head()
    if schema.is_sufficient(found):
        return Finding(GOOD, f'The schema is at revision {found}.')
    if db.is_embedded:
        return Finding(GOOD, f'The start brings the schema from {found or "none"} to {wanted}.')
    return Finding(
        BAD,
        f'The schema is at revision {found or "none"}, and this release needs {wanted}. Run: '
        'glance-lite-manage db expand',
    )


def check_policy(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the policy file can be used, and is not of the format that will go."""
    try:
        enforcer = policy.make_enforcer(conf)
        name = policy.choose_file(conf)
    except exceptions.ConfigError as error:
        return Finding(BAD, str(error))
    path = conf.find_file(name)
    if path is not None and fileutils.is_json(path):
        return Finding(
            DOUBTFUL,
            f'{path} is written in JSON. Turn it into YAML: oslopolicy-convert-json-to-yaml '
            '--namespace glance_lite --policy-file FILE --output-file policy.yaml',
        )
    strange = sorted(set(enforcer.file_rules) - set(enforcer.registered_rules))
    if strange:
        return Finding(DOUBTFUL, f'Nothing asks for these rules of {path}: {", ".join(strange)}.')
    return Finding(GOOD, f'The rules of {path} are in force.' if path else 'There is no file.')


def check_staging(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the staging directory can be used."""
    try:
        area = StagingArea.from_conf(conf)
    except exceptions.ConfigError as error:
        return Finding(BAD, str(error))
    return Finding(GOOD, f'{area.directory} can be used.')


def check_stores(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether every store can be used, and those are configured that have data of images."""
    try:
        stores = StoreRegistry.from_conf(conf)
    except exceptions.ConfigError as error:
        return Finding(BAD, str(error))
    try:
        with Database.from_conf(conf).reader() as session:
            used = ownership.list_stores(session)
    except Exception:  # the check of the schema tells why
        return Finding(
            GOOD, f'Stores: {", ".join(stores.ids)}. Which of them images use is unknown.'
        )
    missing = sorted(used - set(stores.ids))
    if missing:
        return Finding(
            DOUBTFUL,
            f'Images have data in stores that are not configured: {", ".join(missing)}. Their data '
            'cannot be read. Stores: ' + ', '.join(stores.ids) + '.',
        )
    return Finding(GOOD, f'Stores: {", ".join(stores.ids)}.')


def check_plugins(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether all import plugins of the configuration can be loaded."""
    try:
        plugins = loader.load_plugins(conf)
    except exceptions.ConfigError as error:
        return Finding(BAD, str(error))
    return Finding(GOOD, f'Plugins in order: {", ".join(plugins.names) or "none"}.')
