# SPDX-License-Identifier: Apache-2.0
"""The plugin that only says that it ran."""

from glance_lite.testing import images
from glance_lite.testing.trial import Trial


def test_it_says_that_it_ran_and_that_it_was_undone(tmp_path, caplog):
    trial = Trial(tmp_path, ['no_op'])
    source = images.write_qcow2(tmp_path / 'source')
    with caplog.at_level('DEBUG'):
        done = trial.import_file(source)
        undone = trial.import_file(source, store='full')
    trial.close()
    assert f'no_op ran for image {done.image.image_id}' in caplog.text
    assert f'no_op was undone for image {undone.image.image_id}' in caplog.text
    assert f'no_op was undone for image {done.image.image_id}' not in caplog.text
