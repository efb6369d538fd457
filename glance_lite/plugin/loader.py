# SPDX-License-Identifier: Apache-2.0
"""Find the configured import plugins, refuse to start without any of them, build their flows.

Plugins are entry points of the namespace ``glance.image_import.plugins``, loaded by Stevedore, in
the order of ``[image_import_opts] image_import_plugins``. What they are handed when an import is
built is made by ``image_import/surface.py``.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oslo_config import cfg
from oslo_log import log
from stevedore import named

from glance_lite import exceptions
from glance_lite.plugin import base, build, dry_run, isolation, settings
from glance_lite.plugin.build import BuiltPlugin

LOG = log.getLogger(__name__)

NAMESPACE = 'glance.image_import.plugins'
_OPTION = 'image_import_plugins'

GetFlow = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class About:
    """Where an enabled plugin comes from, and what its section of the configuration says.

    ``target`` is what the entry point names. ``options`` are the plugin's own, each with its group:
    those that it lists, or that it registered when it was imported. ``runs_after`` has names of
    plugins that must run before it.
    """

    distribution: str | None = None
    version: str | None = None
    settings: settings.Settings = settings.DEFAULTS
    target: str = ''
    options: tuple[tuple[str, cfg.Opt], ...] = ()
    runs_after: tuple[str, ...] = ()


class PluginSet:
    """The enabled import plugins, in their order. Threads may share it."""

    def __init__(
        self,
        plugins: Mapping[str, GetFlow],
        trace: bool = False,
        about: Mapping[str, About] | None = None,
    ) -> None:
        """Take ``get_flow`` functions by name; :func:`load_plugins` finds them.

        :param trace: log each call of a plugin with its arguments, at level DEBUG.
        """
        self._plugins = dict(plugins)
        self._trace = trace
        self._about = dict(about or {})

    @property
    def names(self) -> list[str]:
        """Names in the order in which the plugins run."""
        return list(self._plugins)

    def about(self, name: str) -> About:
        """Return what is known of an enabled plugin."""
        return self._about.get(name, About())

    def build(self, names: Sequence[str], arguments: Mapping[str, Any]) -> list[BuiltPlugin]:
        """Build the flows of the named plugins, in the order given.

        The same names and arguments give the same step names: a flow can be rebuilt after a crash.

        :param arguments: keywords for ``get_flow``.
        :raises ImportFailed: ``plugin_missing`` or ``plugin_failed``.
        """
        missing = [name for name in names if name not in self._plugins]
        if missing:
            raise exceptions.ImportFailed(
                'plugin_missing',
                f"The import plugin '{missing[0]}' is not enabled on the conductor that runs the "
                'import.',
            )
        return [self._build(name, arguments) for name in names]

    def _build(self, name: str, arguments: Mapping[str, Any]) -> BuiltPlugin:
        built = build.build_plugin(name, self._plugins[name], arguments, trace=self._trace)
        about = self.about(name)
        try:
            check_steps(built, about.settings)
        except exceptions.ConfigError as error:
            raise exceptions.ImportFailed('plugin_failed', str(error)) from error
        return dataclasses.replace(
            built,
            settings=about.settings,
            distribution=about.distribution,
            version=about.version,
        )


def load_plugins(conf: cfg.ConfigOpts) -> PluginSet:
    """Load the plugins that ``conf`` names, register and check their options, build each once dry.

    :raises ConfigError: a plugin is named twice, is not installed, is installed by two
        distributions, cannot be imported, has a bad option or cannot be built.
    """
    names = check_names(conf.image_import_opts.image_import_plugins)
    settings.check_sections(conf, list_installed())
    plugins: dict[str, GetFlow] = {}
    about: dict[str, About] = {}
    for name, distribution in names.items():
        point = _installed()[name][0]
        chosen = settings.read(conf, name)
        before = set(_registered(conf))
        loaded = _load(name, distribution)
        plugins[name] = _bind(name, distribution, loaded, conf, chosen)
        _check_options(name, conf)
        plugin_class = _class_of(loaded)
        isolation.check(plugin_class, name, chosen)
        if plugin_class is None:
            new = {key: opt for key, opt in _registered(conf).items() if key not in before}
            options = tuple((group, opt) for (group, _), opt in new.items())
        else:
            options = tuple(
                (group, opt) for group, opts in plugin_class.list_opts() for opt in opts
            )
        about[name] = About(
            distribution,
            None if point.dist is None else point.dist.version,
            chosen,
            point.value,
            options,
            () if plugin_class is None else plugin_class.runs_after,
        )
    for name, built in dry_run.check(plugins).items():
        check_steps(built, about[name].settings)
    found = PluginSet(plugins, conf['import'].trace_plugins, about)
    for sentence in find_conflicts(found):
        LOG.warning('%s: %s', _OPTION, sentence)
    return found


def find_conflicts(plugins: PluginSet) -> list[str]:
    """Return a sentence for each pair of enabled plugins whose order is the wrong one."""
    return [
        f"'{name}' runs before '{other}', and should run behind it."
        for place, name in enumerate(plugins.names)
        for other in plugins.names[place + 1 :]
        if other in plugins.about(name).runs_after
    ]


def check_steps(built: BuiltPlugin, chosen: settings.Settings) -> None:
    """Raise when a plugin has more steps than its settings can be kept for.

    :raises ConfigError: naming the section.
    """
    if chosen.on_error == settings.WARN and len(built.atoms) > 1:
        raise exceptions.ConfigError(
            f'[{settings.PREFIX}{built.name}] on_error: warn is for plugins of one step, and this '
            f'one has {len(built.atoms)}.'
        )


def check_names(names: Sequence[str]) -> dict[str, str]:
    """Return the distribution of each plugin; none is loaded.

    :raises ConfigError: a plugin is named twice, is not installed, or is installed by two
        distributions.
    """
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise exceptions.ConfigError(f"{_OPTION}: '{twice[0]}' is named twice.")
    installed = _installed()
    return {name: _distribution_of(name, installed) for name in names}


def list_installed() -> dict[str, list[importlib.metadata.EntryPoint]]:
    """Return the entry points of all installed plugins, enabled or not, by name."""
    return dict(sorted(_installed().items()))


def _installed() -> dict[str, list[importlib.metadata.EntryPoint]]:
    # Stevedore's cache forgets which distribution an entry point comes from
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=NAMESPACE):
        found.setdefault(point.name, []).append(point)
    return found


def _distribution_of(
    name: str, installed: Mapping[str, list[importlib.metadata.EntryPoint]]
) -> str:
    points = installed.get(name)
    if points is None:
        close = difflib.get_close_matches(name, list(installed), 1)
        hint = f" Did you mean '{close[0]}'?" if close else ''
        raise exceptions.ConfigError(
            f"{_OPTION}: there is no plugin '{name}' installed; installed: "
            f'{", ".join(sorted(installed)) or "none"}.{hint}'
        )
    distributions = sorted({_name_of(point) for point in points})
    if len(distributions) > 1:
        raise exceptions.ConfigError(
            f"{_OPTION}: '{name}' is installed by {' and by '.join(distributions)}; remove one."
        )
    return distributions[0]


def _name_of(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _load(name: str, distribution: str) -> Any:
    failures: list[BaseException] = []
    manager: named.NamedExtensionManager[Any] = named.NamedExtensionManager(
        NAMESPACE,
        [name],
        on_load_failure_callback=lambda manager, point, error: failures.append(error),
        on_missing_entrypoints_callback=lambda names: None,
    )
    if failures:
        LOG.error('Import plugin %s cannot be imported', name, exc_info=failures[0])
        raise _refuse(name, distribution, 'cannot be imported', failures[0]) from failures[0]
    if not manager.extensions:
        raise exceptions.ConfigError(
            f"{_OPTION}: '{name}' of {distribution} was not found by Stevedore; its cache of entry "
            'points (~/.cache/python-entrypoints) may be out of date.'
        )
    return manager.extensions[0].plugin


def _class_of(loaded: Any) -> type[base.ImportPlugin] | None:
    """Return the class that an entry point names, itself or by ``get_flow``; None for others."""
    found = loaded if inspect.isclass(loaded) else getattr(loaded, '__self__', None)
    return found if inspect.isclass(found) and issubclass(found, base.ImportPlugin) else None


def _registered(conf: cfg.ConfigOpts) -> dict[tuple[str, str], cfg.Opt]:
    """Return the registered options by group and name."""
    return {
        (group.name, info['opt'].dest): info['opt']
        for info, group in conf._all_opt_infos()
        if group is not None
    }


def _bind(
    name: str,
    distribution: str,
    loaded: Any,
    conf: cfg.ConfigOpts,
    chosen: settings.Settings,
) -> GetFlow:
    plugin_class = _class_of(loaded)
    if plugin_class is not None:
        if plugin_class.name != name:
            raise exceptions.ConfigError(
                f"{_OPTION}: the class {plugin_class.__name__} of {distribution} is installed as "
                f"'{name}', but its name is '{plugin_class.name}'."
            )
        try:
            for group, opts in plugin_class.list_opts():
                conf.register_opts(opts, group=group)
            plugin_class(conf)
        except (ValueError, cfg.Error, exceptions.ConfigError) as error:
            raise exceptions.ConfigError(f"Import plugin '{name}': {error}") from error
        except Exception as error:
            LOG.exception('Import plugin %s cannot be set up', name)
            raise _refuse(name, distribution, 'cannot be set up', error) from error
        return functools.partial(plugin_class.get_flow, conf=conf, chosen=chosen)
    if not callable(loaded):
        raise exceptions.ConfigError(
            f"{_OPTION}: the entry point of '{name}' ({distribution}) is not a function."
        )
    return loaded


def _check_options(name: str, conf: cfg.ConfigOpts) -> None:
    """Read every option, those that the plugin registered among them: a bad value stops the start.

    The options of the core were read before, so what fails now came with the plugin.
    """
    for group in conf:
        values = conf[group]
        if not isinstance(values, cfg.ConfigOpts.GroupAttr):
            continue
        for option in values:
            try:
                values[option]
            except (cfg.Error, ValueError) as error:
                raise exceptions.ConfigError(
                    f"Import plugin '{name}': [{group}] {option}: {error}"
                ) from error


def _refuse(
    name: str, distribution: str, what: str, error: BaseException
) -> exceptions.ConfigError:
    return exceptions.ConfigError(
        f"{_OPTION}: '{name}' of {distribution} {what}: {type(error).__name__}: {error}"
    )
