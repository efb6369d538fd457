# SPDX-License-Identifier: Apache-2.0
"""The short door: what a subclass gets, what becomes of what it returns, raises and leaves."""

import contextlib
import os
import types

import pytest
from taskflow import engines, task
from taskflow.patterns import linear_flow

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.plugin import ImageChanges, ImportPlugin, StagedData, reject
from glance_lite.testing import images


class Action:
    """Records what is written."""

    def __init__(self):
        self.written = {}

    def set_image_attribute(self, **attributes):
        self.written.update(attributes)

    def set_image_extra_properties(self, properties):
        self.written.update(properties)

    def pop_extra_property(self, name):
        self.written[name] = None


class Wrapper:
    """Stands for the action wrapper; ``saved`` has what each block wrote."""

    image_id = 'i'

    def __init__(self):
        self.saved = []
        self.done = 0
        self.cancelled = False

    @contextlib.contextmanager
    def _block(self):
        action = Action()
        yield action
        self.saved.append(action.written)

    def __enter__(self):
        self._open = self._block()
        return self._open.__enter__()

    def __exit__(self, *error):
        return self._open.__exit__(*error)

    def expect(self, total):
        self.expected = total

    def advance(self, count):
        if self.cancelled:
            raise exceptions.ImportCancelled('The import was cancelled.')
        self.done += count


class Repo:
    def get(self, image_id):
        return types.SimpleNamespace(
            image_id=image_id,
            name='n',
            owner='p',
            visibility='private',
            size=4,
            virtual_size=None,
            disk_format='raw',
            container_format='bare',
            min_disk=1,
            min_ram=2,
            tags={'b', 'a'},
            extra_properties={'k': 'v', 'os_glance_import_task': 't'},
        )


class Service:
    """Runs one plugin on a staged file, as a step of a flow."""

    def __init__(self, tmp_path):
        self.path = tmp_path / 'i.attempt'
        self.path.write_bytes(b'data')
        self.wrapper = Wrapper()
        self.context = RequestContext(
            user_id='u', project_id='p', roles=['Member'], overwrite=False
        )

    def run(self, plugin_class, fail_after=False):
        """Return the last ``file_path``."""
        flow = linear_flow.Flow('import').add(
            task.FunctorTask(lambda: f'file://{self.path}', name='stage', provides='file_path'),
            plugin_class.get_flow(
                conf=None,
                context=self.context,
                image_repo=Repo(),
                action_wrapper=self.wrapper,
                image_id='i',
                no_such='keyword',
            ),
        )
        seen = []

        def later(file_path):
            seen.append(file_path)
            if fail_after:
                raise RuntimeError('a later step failed')

        flow.add(task.FunctorTask(later, name='later'))
        engines.run(flow)
        return seen[0]


@pytest.fixture
def service(tmp_path):
    return Service(tmp_path)


def plugin(execute, **members):
    return type('Mine', (ImportPlugin,), {'name': 'my_plugin', 'execute': execute, **members})


def test_it_sees_the_image_its_importer_and_the_staged_data(service):
    seen = {}

    def execute(self, image, staged):
        seen.update(image=image, path=staged.path, size=staged.size)
        with staged.open() as file:
            seen['data'] = file.read()

    service.run(plugin(execute))
    image = seen['image']
    assert (image.image_id, image.name, image.tags) == ('i', 'n', ('a', 'b'))
    assert dict(image.properties) == {'k': 'v'}
    assert (image.importer.roles, image.importer.is_admin) == (('member',), False)
    assert (seen['path'], seen['size'], seen['data']) == (str(service.path), 4, b'data')
    with pytest.raises(TypeError):
        image.properties['k'] = 'w'
    with pytest.raises(AttributeError):
        image.name = 'm'


def test_the_changes_are_saved_at_once(service):
    changes = ImageChanges(
        properties={'a': '1', 'k': None},
        disk_format='iso',
        virtual_size=9,
        container_format='ovf',
    )
    service.run(plugin(lambda self, image, staged: changes))
    assert service.wrapper.saved == [
        {'a': '1', 'k': None, 'disk_format': 'iso', 'container_format': 'ovf', 'virtual_size': 9}
    ]


@pytest.mark.parametrize('changes', [None, ImageChanges()])
def test_no_changes_are_no_save(service, changes):
    service.run(plugin(lambda self, image, staged: changes))
    assert service.wrapper.saved == []


def write(text):
    def execute(self, image, staged):
        with open(staged.new_path(), 'w') as file:
            file.write(text)
        return ImageChanges(file_path=staged.new_path(), disk_format='raw')

    return execute


def test_new_data_is_what_the_later_steps_find(service):
    path = service.run(plugin(write('longer data'), transforms=True))
    assert path == f'file://{service.path}.my-plugin'
    assert service.wrapper.saved == [{'disk_format': 'raw', 'size': 11}]
    assert service.path.read_bytes() == b'data'


def test_new_data_is_removed_when_a_later_step_fails(service):
    with pytest.raises(RuntimeError, match='a later step'):
        service.run(plugin(write('longer data'), transforms=True), fail_after=True)
    assert os.listdir(service.path.parent) == [service.path.name]


def test_new_data_of_an_attempt_that_was_cut_short_is_not_built_upon(service):
    def execute(self, image, staged):
        assert not os.path.exists(staged.new_path())

    (service.path.parent / f'{service.path.name}.my-plugin').write_text('half')
    service.run(plugin(execute))


def test_new_data_needs_a_plugin_that_says_so(service):
    with pytest.raises(TypeError, match='transforms = True'):
        service.run(plugin(write('x')))
    assert os.listdir(service.path.parent) == [service.path.name]


def test_new_data_elsewhere_is_refused(service):
    changes = ImageChanges(file_path='/etc/passwd')
    with pytest.raises(ValueError, match=r'staged\.new_path'):
        service.run(plugin(lambda self, image, staged: changes, transforms=True))


def test_something_else_than_changes_is_refused(service):
    with pytest.raises(TypeError, match='execute returned dict'):
        service.run(plugin(lambda self, image, staged: {'a': '1'}))


def test_a_plugin_can_refuse_the_image(service):
    with pytest.raises(exceptions.ImageRejected, match='not like this') as caught:
        service.run(plugin(lambda self, image, staged: reject('not like this')))
    assert caught.value.refused


def test_revert_is_called_for_a_later_failure_and_may_fail_itself(service):
    calls = []

    def revert(self, image, staged):
        calls.append((image.image_id, staged.path))
        raise OSError('cannot undo')

    with pytest.raises(RuntimeError, match='a later step'):
        service.run(plugin(write('x'), revert=revert, transforms=True), fail_after=True)
    assert calls == [('i', str(service.path))]
    assert os.listdir(service.path.parent) == [service.path.name]


def test_revert_is_called_for_its_own_failure_too(service):
    calls = []
    mine = plugin(
        lambda self, image, staged: 1 / 0, revert=lambda self, image, staged: calls.append(1)
    )
    with pytest.raises(ZeroDivisionError):
        service.run(mine)
    assert calls == [1]


def test_chunks_report_progress_and_mind_a_cancellation(service):
    def execute(self, image, staged):
        assert b''.join(staged.chunks(3)) == b'data'

    service.run(plugin(execute))
    assert service.wrapper.done == 4
    service.wrapper.cancelled = True
    for stopped in (execute, lambda self, image, staged: staged.check_cancelled()):
        with pytest.raises(exceptions.ImportCancelled):
            service.run(plugin(stopped))


def test_each_import_has_an_object_of_its_own(service):
    seen = set()
    mine = plugin(lambda self, image, staged: seen.add(self))
    service.run(mine)
    service.run(mine)
    assert len(seen) == 2


def test_a_plugin_without_execute_fails(service):
    with pytest.raises(NotImplementedError, match=r'Mine\.execute'):
        service.run(type('Mine', (ImportPlugin,), {'name': 'mine'}))


@pytest.mark.parametrize(
    ('make', 'expected'),
    [
        (lambda path: images.write_qcow2(path), 'qcow2'),
        (lambda path: images.write_raw(path), 'gpt'),
        (lambda path: path.write_bytes(b'plain'), 'raw'),
        (lambda path: path.write_bytes(b''), 'raw'),
    ],
)
def test_the_format_is_told_by_the_content(tmp_path, make, expected):
    path = tmp_path / 'disk'
    make(path)
    assert StagedData(str(path), '', lambda count: None).detect_format() == expected
