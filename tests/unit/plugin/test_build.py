# SPDX-License-Identifier: Apache-2.0
"""The flows of plugins fit beside others, and TaskFlow hands paths on as the builder expects."""

import pytest
from taskflow import engines, retry, task
from taskflow.patterns import linear_flow

from glance_lite import exceptions
from glance_lite.plugin.loader import PluginSet


class Give(task.Task):
    """Provides ``file_path`` as constructed."""

    def __init__(self, name, value):
        super().__init__(name, provides='file_path')
        self.value = value

    def execute(self):
        return self.value


class Look(task.Task):
    def execute(self, file_path):
        return None


def build_one(get_flow, **arguments):
    [built] = PluginSet({'p': get_flow}).build(['p'], arguments)
    return built


def test_a_bare_task_is_wrapped_and_named_after_the_plugin():
    built = build_one(lambda **kwargs: Look('whatever'))
    assert isinstance(built.flow, linear_flow.Flow)
    assert built.atom_names == {'run-plugin:p'}
    assert not built.transforms


def test_several_steps_keep_their_names_behind_the_plugin_and_never_collide():
    inner = linear_flow.Flow('inner', retry=retry.AlwaysRevert('again')).add(Look('a'))
    flow = linear_flow.Flow('outer').add(Look('a'), Look('b'), inner)
    built = build_one(lambda **kwargs: flow)
    assert built.atom_names == {
        'run-plugin:p/a',
        'run-plugin:p/b',
        'run-plugin:p/again',
        'run-plugin:p/a#2',
    }


def test_steps_of_one_name_in_two_plugins_run_in_one_flow():
    plugins = PluginSet(
        {name: lambda **kwargs: linear_flow.Flow('f').add(Look('noop')) for name in ('a', 'b')}
    )
    flow = linear_flow.Flow('import').add(Give('stage', 'file:///x'))
    flow.add(*(built.flow for built in plugins.build(['a', 'b'], {})))
    engines.run(flow)


def test_the_same_arguments_give_the_same_names():
    def get_flow(task_id, **kwargs):
        return linear_flow.Flow('f').add(Look(f'one-{task_id}'), Look(f'two-{task_id}'))

    names = [build_one(get_flow, task_id='t').atom_names for _ in range(2)]
    assert names[0] == names[1]


def test_only_the_plugins_of_the_plan_are_built_in_its_order():
    plugins = PluginSet({name: lambda **kwargs: Look() for name in ('a', 'b', 'c')})
    assert [built.name for built in plugins.build(['c', 'a'], {})] == ['c', 'a']


def test_a_plugin_that_is_not_here_fails_the_import():
    with pytest.raises(exceptions.ImportFailed, match="'gone' is not enabled") as caught:
        PluginSet({}).build(['gone'], {})
    assert caught.value.code == 'plugin_missing'


def test_a_get_flow_that_raises_fails_the_import_with_its_name():
    def get_flow(**kwargs):
        raise KeyError('image')

    with pytest.raises(exceptions.ImportFailed, match="'p' cannot be built") as caught:
        build_one(get_flow)
    assert caught.value.code == 'plugin_failed'


def test_errors_of_ours_pass_through_get_flow():
    def get_flow(**kwargs):
        raise exceptions.ImageRejected('no')

    with pytest.raises(exceptions.ImageRejected):
        build_one(get_flow)


@pytest.mark.parametrize('value', [None, 'flow', [], linear_flow.Flow])
def test_what_is_no_flow_fails_the_import(value):
    with pytest.raises(exceptions.ImportFailed, match='in place of a TaskFlow task or flow'):
        build_one(lambda **kwargs: value)


def test_calls_are_traced_with_their_arguments_when_asked(caplog):
    plugins = PluginSet({'p': lambda **kwargs: Look('look')}, trace=True)
    flow = linear_flow.Flow('import').add(Give('stage', 'file:///x'))
    with caplog.at_level('DEBUG'):
        flow.add(plugins.build(['p'], {'image_id': 'i'})[0].flow)
        engines.run(flow)
    lines = [record.getMessage() for record in caplog.records if 'lugin' in record.getMessage()]
    assert 'Import plugin p: get_flow(image_id)' in lines
    assert "run-plugin:p: execute({'file_path': 'file:///x'})" in lines
    assert 'run-plugin:p: execute returned None' in lines


class Keep(task.Task):
    """What the flow builder puts behind a plugin that provides ``file_path``."""

    def __init__(self, position):
        super().__init__(
            f'keep-{position}',
            provides=('file_path', f'path_{position}'),
            rebind={'given': 'file_path', 'before': f'path_{position - 1}'},
        )

    def execute(self, given, before):
        return (before, before) if given is None else (given, given)


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (['a'], 'a'),
        ([None], 'staged'),
        (['a', None], 'a'),
        ([None, 'b'], 'b'),
        (['a', 'b'], 'b'),
        ([None, None], 'staged'),
    ],
)
def test_taskflow_takes_the_nearest_earlier_path_also_out_of_a_nested_flow(given, expected):
    stage = task.FunctorTask(
        lambda: ('staged', 'staged'), name='stage', provides=('file_path', 'path_0')
    )
    flow = linear_flow.Flow('import').add(stage)
    for position, value in enumerate(given, 1):
        plugin = linear_flow.Flow('same name').add(Give(f'plugin-{position}', value))
        flow.add(plugin, Keep(position))
    seen = []

    def store(file_path):
        seen.append(file_path)

    flow.add(task.FunctorTask(store, name='store'))
    engines.run(flow)
    assert seen == [expected]


def test_a_revert_sees_the_path_that_its_execute_saw():
    seen = []

    class Transform(task.Task):
        default_provides = 'file_path'

        def execute(self, file_path):
            return 'new'

        def revert(self, file_path, **kwargs):
            seen.append(file_path)

    class Fail(task.Task):
        def execute(self, file_path):
            raise RuntimeError(file_path)

    flow = linear_flow.Flow('import').add(
        task.FunctorTask(
            lambda: ('staged', 'staged'), name='stage', provides=('file_path', 'path_0')
        ),
        linear_flow.Flow('plugin').add(Transform('t')),
        Keep(1),
        Fail('fail'),
    )
    with pytest.raises(RuntimeError, match='new'):
        engines.run(flow)
    assert seen == ['staged']
