# SPDX-License-Identifier: Apache-2.0
"""Read the configuration: which files, every option parsed, typos pointed out; and read it again.

What the values mean is the business of the rooms that use them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keystoneauth1 import loading
from oslo_config import cfg
from oslo_db import options as db_options
from oslo_log import log
from oslo_middleware import cors
from oslo_middleware.healthcheck import opts as health_opts

from glance_lite import __version__, exceptions, notifications
from glance_lite.conf import opts
from glance_lite.db import engine
from glance_lite.image_import.plugins import (
    image_conversion,
    image_decompression,
    inject_image_metadata,
    verify_image,
)
from glance_lite.plugin import settings as plugin_settings
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
        'image_conversion',
        'image_decompression',
        'verify_image',
    }
)
#: What says where options are; neither kept nor compared when the files are read again.
_FILE_OPTIONS = frozenset({'config_file', 'config_dir', 'config_source', 'shell_completion'})

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
    from oslo_messaging import opts as messaging_opts  # slow to import, and seldom needed

    database = [opt for opt in db_options.database_opts if opt.name in DATABASE_OPTIONS]
    return [
        *opts.list_api_opts(),
        ('database', database),
        # beside what keystonemiddleware lists: how the service itself signs in, by password
        ('keystone_authtoken', loading.get_auth_plugin_conf_options('password')),
        *(each for each in messaging_opts.list_opts() if each[0] == notifications.GROUP),
        ('glance_store', [*registry.OPTS, *filesystem.FileStore.list_opts()]),
        ('os_glance_staging_store', staging.OPTS),
    ]


def list_import_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return what ``etc/glance-image-import.conf.sample`` shows, for the sample generator."""
    settings = (f'{plugin_settings.PREFIX}name', plugin_settings.OPTS)
    return [
        *opts.list_import_opts(),
        settings,
        *inject_image_metadata.InjectImageMetadata.list_opts(),
        *image_decompression.ImageDecompression.list_opts(),
        *image_conversion.ImageConversion.list_opts(),
        *verify_image.VerifyImage.list_opts(),
    ]


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
    cfg.set_defaults(cors.CORS_OPTS, **opts.CORS_DEFAULTS)


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
    if not files and not named:
        LOG.info('No configuration file was found; all options have their defaults')
    _read(conf, args, files, prog)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What the files say now, beside the configuration that is in force.

    :ivar conf: the options that can be changed while the service runs as the files say, all others
        as they are in force.
    :ivar changes: a phrase for each option of the former whose value is another, which shows no
        value of a secret option.
    :ivar postponed: names of the latter whose values in the files are others.
    """

    conf: cfg.ConfigOpts
    changes: tuple[str, ...]
    postponed: tuple[str, ...]


def read_again(conf: cfg.ConfigOpts, args: Sequence[str], prog: str) -> Reading:
    """Read the files that ``conf`` was read from once more, and check every value.

    ``conf`` stays as it is. oslo.config's ``mutate_config_files`` would put into force whatever the
    files hold, value by value, unchecked.

    :param args: the arguments that ``conf`` was loaded with.
    :raises ConfigError: a file cannot be read, or an option of any kind has a wrong value.
    """
    from glance_lite.plugin import loader  # TaskFlow is slow to import

    fresh = cfg.ConfigOpts()
    for opt, group, info in options(conf):
        if opt.required and 'default' not in info and _value(conf, opt, group) is None:
            # registered after the start, so nothing has required it
            conf.set_default(opt.dest, None, group=group)
        register = fresh.register_cli_opt if info['cli'] else fresh.register_opt
        register(opt, group=group)
        if 'default' in info:
            fresh.set_default(opt.dest, info['default'], group=group)
    _read(fresh, args, conf.config_file or [], prog)
    registry.choose_default(fresh)
    loader.check_names(fresh.image_import_opts.image_import_plugins)
    changes, postponed = [], []
    for opt, group, _ in options(conf):
        old, new = _value(conf, opt, group), _value(fresh, opt, group)
        if new == old:
            continue
        name = opt.dest if group is None else f'[{group}] {opt.dest}'
        if opt.mutable:
            changes.append(f'{name} = ***' if opt.secret else f'{name} = {new} (was {old})')
        else:
            postponed.append(name)
            _pin(fresh, opt, group, old)
    return Reading(fresh, tuple(changes), tuple(postponed))


def adopt(conf: cfg.ConfigOpts, reading: Reading) -> None:
    """Make ``conf`` itself follow a reading, for processes that are forked from now on.

    Not for a process with threads, which could see the half of it. oslo.log follows too.

    :raises ConfigError: the files were changed after the reading.
    """
    changed = exceptions.ConfigError(
        'The files were changed while they were read; send SIGHUP again.'
    )
    library = logging.getLogger(cfg.__name__)
    library.disabled = True  # it would log the values of secret options too
    try:
        with _refusing():
            conf.mutate_config_files()
    except SystemExit as end:
        raise changed from end
    finally:
        library.disabled = False
    with _refusing():
        for opt, group, _ in options(conf):
            if opt.mutable and _value(conf, opt, group) != _value(reading.conf, opt, group):
                raise changed


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
            if section in _OTHERS_GROUPS or (
                section.startswith(plugin_settings.PREFIX) and section not in known
            ):
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


def find_deprecated(conf: cfg.ConfigOpts) -> list[str]:
    """Return a sentence for each option of the files that has another name now, or will go."""
    old: dict[tuple[str, str], str] = {}
    for opt, group, _ in options(conf):
        section = group or 'DEFAULT'
        for former in opt.deprecated_opts:
            key = (former.group or section, former.name or opt.name)
            old[key] = f'is now called {opt.name} of [{section}].'
        if opt.deprecated_for_removal:
            reason = opt.deprecated_reason or ''
            old[section, opt.name] = f'will go. {" ".join(reason.split())}'.strip()
    sentences = []
    for path in conf.config_file or []:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(path, sections).parse()
        for section, values in sections.items():
            for name in values:
                what = old.get((section, name)) or old.get((section, name.replace('_', '-')))
                if what is not None:
                    where = os.path.basename(path)
                    sentences.append(f'{where}: the option {name} of [{section}] {what}')
    return sentences


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f' Did you mean {close[0]}?' if close else ''


def _read(conf: cfg.ConfigOpts, args: Sequence[str], files: Sequence[str], prog: str) -> None:
    with _refusing():
        with _no_exit():
            conf(
                list(args),
                project='glance-lite',
                prog=prog,
                version=__version__,
                default_config_files=list(files),
            )
        _parse_everything(conf)
        registry.register_store_opts(conf)
        _parse_everything(conf)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Raise :class:`ConfigError` for whatever oslo.config finds wrong with the files."""
    try:
        yield
    except (cfg.Error, ValueError) as error:
        raise exceptions.ConfigError(f'Configuration: {error}') from error


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    """Raise where oslo.config prints what is wrong and ends the program.

    It does so for a wrong value, in a file, of an option that is an argument too.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as end:
        if end.code != 1:  # --help, --version, a wrong command line
            raise
        text, said = said.getvalue().strip(), io.StringIO()
        raise ValueError(text) from end
    finally:
        sys.stderr.write(said.getvalue())


def options(
    conf: cfg.ConfigOpts,
) -> Iterator[tuple[cfg.Opt, str | None, dict[str, Any]]]:
    """Give each registered option with its group and what is known of it, except those that name
    the files."""
    for info, group in conf._all_opt_infos():
        if info['opt'].dest not in _FILE_OPTIONS:
            yield info['opt'], None if group is None else group.name, info


def _value(conf: cfg.ConfigOpts, opt: cfg.Opt, group: str | None) -> Any:
    return conf[opt.dest] if group is None else conf[group][opt.dest]


def _pin(conf: cfg.ConfigOpts, opt: cfg.Opt, group: str | None, value: Any) -> None:
    """Give an option a value, whatever the files say.

    :raises ConfigError: the option's type does not take its own values.
    """
    with _refusing():
        conf.set_override(opt.dest, opts.literal(value), group=group)
        if _value(conf, opt, group) != value:
            raise ValueError(f'{opt.dest} cannot be changed while the service runs')


def _parse_everything(conf: cfg.ConfigOpts) -> None:
    """Read each value once, so that a wrong one is found now and named."""
    for name in conf:
        if name not in conf._groups:
            getattr(conf, name)
    for group in list(conf._groups):
        for name in conf[group]:
            getattr(conf[group], name)
