# SPDX-License-Identifier: Apache-2.0
"""Plugins are found by entry point, in order; whatever is wrong with one stops the start."""

import sys
import textwrap
import types

import pytest
from stevedore import extension

from glance_lite import exceptions
from glance_lite.plugin import loader


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution: its module's text and its entry points."""

    def install(name, text='', **points):
        site = tmp_path / name
        metadata = site / f'{name}-1.0.dist-info'
        metadata.mkdir(parents=True)
        (metadata / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n')
        lines = [f'{point} = {name}_module:{target}' for point, target in points.items()]
        (metadata / 'entry_points.txt').write_text(
            '\n'.join([f'[{loader.NAMESPACE}]', *lines]) + '\n'
        )
        (site / f'{name}_module.py').write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, f'{name}_module', raising=False)
        # a process looks for entry points once; here each test is a process of its own
        monkeypatch.setattr(extension.ExtensionManager, 'ENTRY_POINT_CACHE', {})

    return install


@pytest.fixture
def load(make_conf):
    """Return a function that loads plugins by their names, with more configuration text."""

    def load(names, extra=''):
        return loader.load_plugins(
            make_conf(f'[image_import_opts]\nimage_import_plugins = {names}\n{extra}')
        )

    return load


def refusal(load, names, extra=''):
    with pytest.raises(exceptions.ConfigError) as caught:
        load(names, extra)
    return str(caught.value)


TASKS = """
    from taskflow import task
    from taskflow.patterns import linear_flow

    class Look(task.Task):
        def execute(self, file_path):
            pass

    class Need(task.Task):
        def execute(self, unheard_of):
            pass

    class Give(task.Task):
        default_provides = 'unheard_of'
        def execute(self):
            pass

    def flow(**kwargs):
        return linear_flow.Flow('f').add(Look('look'))

    def bare(**kwargs):
        return Look('look')

    def needs(**kwargs):
        return Need('need')

    def gives(**kwargs):
        return Give('give')

    def nothing(**kwargs):
        return None

    def empty(**kwargs):
        return linear_flow.Flow('f')

    def broken(**kwargs):
        return undefined_name

    def looks(**kwargs):
        image = kwargs['image_repo'].get(kwargs['image_id'])
        return Look(image.name)

    def enters(**kwargs):
        with kwargs['action_wrapper'] as action:
            return Look(action.image_id)

    def swallows(**kwargs):
        try:
            kwargs['image_repo'].get('x')
        except Exception:
            pass
        return undefined_name

    def asks(**kwargs):
        assert kwargs.get('no_such_keyword') is None
        assert kwargs['action_wrapper'].image_id == kwargs['image_id']
        return Look('look')

    constant = 5
"""


def test_no_plugins_is_an_empty_set(load):
    assert load('').names == []


@pytest.mark.parametrize(
    'written',
    [
        'no_op, inject_image_metadata',
        '[no_op,inject_image_metadata]',
        "['no_op', 'inject_image_metadata']",
    ],
)
def test_the_order_is_that_of_the_option_in_either_spelling(load, written):
    assert load(written).names == ['no_op', 'inject_image_metadata']
    assert load('inject_image_metadata,no_op').names == ['inject_image_metadata', 'no_op']


def test_a_plugin_that_is_not_installed_is_named_with_those_that_are(load):
    text = refusal(load, 'inject_image_metadta')
    assert "there is no plugin 'inject_image_metadta' installed" in text
    assert 'inject_image_metadata' in text and 'no_op' in text
    assert "Did you mean 'inject_image_metadata'?" in text


def test_a_plugin_named_twice_is_refused(load):
    assert refusal(load, 'no_op, no_op') == "image_import_plugins: 'no_op' is named twice."


def test_two_distributions_with_one_name_are_both_named(load, install):
    install('first', TASKS, same='flow')
    install('second', TASKS, same='flow')
    assert "'same' is installed by first and by second" in refusal(load, 'same')


def test_a_plugin_that_cannot_be_imported_is_named_with_the_cause(load, install):
    install('halfway', 'import no_such_library_at_all', halfway='flow')
    text = refusal(load, 'halfway')
    assert "'halfway' of halfway cannot be imported: ModuleNotFoundError" in text
    assert 'no_such_library_at_all' in text


def test_an_entry_point_to_a_name_that_is_not_there_is_refused(load, install):
    install('empty', '', empty='get_flow')
    assert "'empty' of empty cannot be imported" in refusal(load, 'empty')


def test_an_entry_point_that_is_no_function_is_refused(load, install):
    install('odd', TASKS, odd='constant')
    assert 'is not a function' in refusal(load, 'odd')


@pytest.mark.parametrize(
    ('target', 'sentence'),
    [
        ('nothing', 'gave NoneType in place of a TaskFlow task or flow'),
        ('empty', 'has no task'),
        ('broken', "name 'undefined_name' is not defined"),
        (
            'needs',
            "requires 'unheard_of', which neither the import nor a plugin before it provides",
        ),
    ],
)
def test_a_plugin_that_cannot_be_built_stops_the_start(load, install, target, sentence):
    install('dist', TASKS, mine=target)
    text = refusal(load, 'mine')
    assert sentence in text and "'mine'" in text


@pytest.mark.parametrize('target', ['flow', 'bare', 'asks', 'looks', 'enters', 'swallows'])
def test_what_can_be_built_or_cannot_be_tried_without_an_image_is_let_in(load, install, target):
    install('dist', TASKS, mine=target)
    assert load('mine').names == ['mine']


def test_a_value_may_come_from_the_plugin_before(load, install):
    install('dist', TASKS, gives='gives', needs='needs')
    assert load('gives, needs').names == ['gives', 'needs']
    assert "'needs' requires" in refusal(load, 'needs, gives')


SHORT = """
    from oslo_config import cfg
    from glance_lite.plugin import ImportPlugin

    class Mine(ImportPlugin):
        name = 'mine'

        def __init__(self, conf):
            super().__init__(conf)
            if conf.mine.limit == 13:
                raise ValueError('[mine] limit: 13 is unlucky')
            if conf.mine.limit == 14:
                raise KeyError('oops')

        @classmethod
        def list_opts(cls):
            return [('mine', [cfg.IntOpt('limit', default=1, max=100)])]

        def execute(self, image, staged):
            return None

    class Clash(Mine):
        name = 'clash'

        @classmethod
        def list_opts(cls):
            return [('mine', [cfg.StrOpt('limit')])]

    loose = Mine
"""


@pytest.mark.parametrize('target', ['Mine.get_flow', 'Mine'])
def test_the_short_door_is_a_class_or_its_get_flow(load, install, target):
    install('dist', SHORT, mine=target)
    assert load('mine', '[mine]\nlimit = 5\n').names == ['mine']


@pytest.mark.parametrize(
    ('extra', 'part'),
    [
        ('[mine]\nlimit = many\n', 'limit'),
        ('[mine]\nlimit = 101\n', 'limit'),
        ('[mine]\nlimit = 13\n', '[mine] limit: 13 is unlucky'),
        ('[mine]\nlimit = 14\n', "'mine' of dist cannot be set up: KeyError"),
    ],
)
def test_a_bad_option_of_a_plugin_stops_the_start(load, install, extra, part):
    install('dist', SHORT, mine='Mine.get_flow')
    text = refusal(load, 'mine', extra)
    assert part in text and "'mine'" in text


def test_two_plugins_with_one_option_of_two_kinds_are_refused(load, install):
    install('dist', SHORT, mine='Mine.get_flow', clash='Clash.get_flow')
    assert "'clash'" in refusal(load, 'mine, clash')


def test_a_class_under_another_name_is_refused(load, install):
    install('dist', SHORT, yours='Mine.get_flow')
    assert "is installed as 'yours', but its name is 'mine'" in refusal(load, 'yours')


def test_every_installed_plugin_is_listed_enabled_or_not(install):
    install('dist', SHORT, mine='Mine.get_flow')
    assert {'inject_image_metadata', 'mine', 'no_op'} <= set(loader.list_installed())


ORDERED = """
    from glance_lite.plugin import ImportPlugin

    class First(ImportPlugin):
        name = 'first'
        transforms = True

    class Second(ImportPlugin):
        name = 'second'
        runs_after = ('first', 'not_enabled')
"""


def test_plugins_in_the_wrong_order_are_told(load, install):
    install('dist', ORDERED, first='First.get_flow', second='Second.get_flow')
    assert loader.find_conflicts(load('first, second')) == []
    assert loader.find_conflicts(load('second, first, no_op')) == [
        "'second' runs before 'first', and should run behind it."
    ]


def test_where_a_plugin_comes_from_and_its_options_are_known(load, install):
    install('dist', SHORT, mine='Mine.get_flow')
    about = load('mine').about('mine')
    assert (about.distribution, about.version) == ('dist', '1.0')
    assert about.target == 'dist_module:Mine.get_flow'
    assert [(group, opt.name) for group, opt in about.options] == [('mine', 'limit')]


def test_the_options_that_a_plugin_registers_globally_are_known(make_conf, install):
    text = """
        from taskflow import task
        import global_conf

        def get_flow(**kwargs):
            return task.FunctorTask(lambda: None, name='x')
    """
    conf = make_conf('[image_import_opts]\nimage_import_plugins = glob\n')
    module = types.ModuleType('global_conf')
    sys.modules['global_conf'] = module
    install('dist', text.replace('import global_conf', GLOBAL), glob='get_flow')
    module.CONF = conf
    try:
        about = loader.load_plugins(conf).about('glob')
    finally:
        del sys.modules['global_conf']
    assert [(group, opt.name) for group, opt in about.options] == [('glob', 'colour')]


GLOBAL = """from oslo_config import cfg
        from global_conf import CONF
        CONF.register_opts([cfg.StrOpt('colour')], group='glob')"""
