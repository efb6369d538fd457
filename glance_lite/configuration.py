# SPDX-License-Identifier: Apache-2.0
"""Read the configuration: which files, every option parsed, and typos pointed out.

What the values mean is the business of the rooms that use them.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence

from keystoneauth1 import loading
from oslo_config import cfg
from oslo_db import options as db_options
from oslo_log import log
from oslo_middleware.healthcheck import opts as health_opts

from glance_lite import __version__, exceptions
from glance_lite.conf import opts
from glance_lite.db import engine
from glance_lite.image_import.plugins import inject_image_metadata
from glance_lite.stores import filesystem, registry, staging

LOG = log.getLogger(__name__)

#: Directories searched when no file is named; the first that has ``glance-api.conf`` is used.
DIRECTORIES = (
    '.',
    '~/.glance',
    '~',
    '/etc/glance-lite',
    '/etc/glance',
    '/etc',
)
#: Groups that libraries read by themselves, or whose options plugins bring along.
_OTHERS_GROUPS = frozenset(
    {
        'keystone_authtoken',
        'oslo_policy',
        'oslo_middleware',
        'cors',
        'healthcheck',
        'profiler',
        'oslo_messaging_notifications',
        'oslo_messaging_rabbit',
        'oslo_messaging_kafka',
        'oslo_concurrency',
        'oslo_limit',
        'oslo_reports',
        'inject_metadata_properties',
    }
)

#: What is read of ``[database]``; SQLite needs ``connection`` alone.
DATABASE_OPTIONS = (
    'connection',
    'mysql_sql_mode',
    'connection_recycle_time',
    'max_pool_size',
    'max_overflow',
    'pool_timeout',
    'max_retries',
    'retry_interval',
)


def register_all(conf: cfg.ConfigOpts) -> None:
    """Register every option of ours on ``conf``, and those of oslo.db and oslo.log."""
    opts.register_all(conf)
    opts.register_logging(conf)
    engine.register_opts(conf)
    registry.register_opts(conf)
    staging.register_opts(conf)


def list_api_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return what ``etc/glance-api.conf.sample`` shows of ours, for the sample generator.

    A configured store has the options that ``[glance_store]`` has, but ``default_backend``, in a
    section of its own.
    """
    database = [opt for opt in db_options.database_opts if opt.name in DATABASE_OPTIONS]
    return [
        *opts.list_api_opts(),
        ('database', database),
        # beside what keystonemiddleware lists: how the service itself signs in, by password
        ('keystone_authtoken', loading.get_auth_plugin_conf_options('password')),
        ('glance_store', [*registry.OPTS, *filesystem.FileStore.list_opts()]),
        ('os_glance_staging_store', staging.OPTS),
    ]


def list_import_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return what ``etc/glance-image-import.conf.sample`` shows, for the sample generator."""
    return [*opts.list_import_opts(), *inject_image_metadata.InjectImageMetadata.list_opts()]


def set_sample_defaults() -> None:
    """Give options of libraries our defaults, before the sample generator shows them."""
    conf = cfg.ConfigOpts()
    register_all(conf)
    conf([], default_config_files=[])
    cfg.set_defaults(
        db_options.database_opts, **{name: conf.database[name] for name in DATABASE_OPTIONS}
    )
    cfg.set_defaults(
        [*health_opts.HEALTHCHECK_OPTS, *health_opts.DISABLE_BY_FILE_OPTS], **opts.HEALTH_DEFAULTS
    )


def load(
    conf: cfg.ConfigOpts,
    args: Sequence[str] = (),
    files: Sequence[str] | None = None,
    prog: str = 'glance-lite-api',
) -> None:
    """Register, read and check the configuration.

    :param args: arguments of the command line.
    :param files: configuration files to read when ``args`` name none; None searches
        :data:`DIRECTORIES`.
    :raises ConfigError: a file cannot be read or an option has a wrong value; the message names
        the file or the option.
    """
    register_all(conf)
    named = any(arg == '--config-file' or arg.startswith('--config-file=') for arg in args)
    if files is None:
        files = [] if named else find_files()
    try:
        conf(
            list(args),
            project='glance-lite',
            prog=prog,
            version=__version__,
            default_config_files=list(files),
        )
        if not files and not named:
            _read_defaults(conf)
        _parse_everything(conf)
        registry.register_store_opts(conf)
        _parse_everything(conf)
    except (cfg.Error, ValueError) as error:
        raise exceptions.ConfigError(f'Configuration: {error}') from error


def warn_of_unknown(conf: cfg.ConfigOpts) -> None:
    """Log what nothing reads; call it when plugins and stores have registered their options."""
    for sentence in find_unknown(conf):
        LOG.warning('%s', sentence)


def find_files() -> list[str]:
    """Return the files to read when none was named: the API's, and the import's beside it."""
    for directory in DIRECTORIES:
        path = os.path.join(os.path.expanduser(directory), opts.API_CONF)
        if os.path.exists(path):
            beside = os.path.join(os.path.dirname(path), opts.IMPORT_CONF)
            return [path, *([beside] if os.path.exists(beside) else [])]
    return []


def find_unknown(conf: cfg.ConfigOpts) -> list[str]:
    """Return a sentence for each option or section of the files that nothing here reads."""
    known = {'DEFAULT': {name for name in conf if name not in conf._groups}}
    known.update({name: set(conf[name]) for name in conf._groups})
    sentences = []
    for path in conf.config_file or []:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, sections).parse()
        for section, values in sections.items():
            if section in _OTHERS_GROUPS or section.startswith('import_plugin:'):
                continue
            where = os.path.basename(path)
            if section not in known:
                sentences.append(
                    f'{where}: nothing reads the section [{section}].{_hint(section, known)}'
                )
                continue
            for name in values:
                if name not in known[section]:
                    sentences.append(
                        f'{where}: nothing reads the option {name} of [{section}].'
                        f'{_hint(name, known[section])}'
                    )
    return sentences


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f' Did you mean {close[0]}?' if close else ''


def _read_defaults(conf: cfg.ConfigOpts) -> None:
    LOG.info('No configuration file was found; all options have their defaults')


def _parse_everything(conf: cfg.ConfigOpts) -> None:
    """Read each value once, so that a wrong one is found now and named."""
    for name in conf:
        if name not in conf._groups:
            getattr(conf, name)
    for group in list(conf._groups):
        for name in conf[group]:
            getattr(conf[group], name)
