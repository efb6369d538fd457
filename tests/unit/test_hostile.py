# SPDX-License-Identifier: Apache-2.0
"""The table of hostile content in the documentation is what the service does."""

from tests import hostile, programs


@programs.QEMU_IMG
def test_the_table_of_hostile_content_is_true(tmp_path):
    told = hostile.outcomes(tmp_path)
    assert len(told) >= 60
    assert hostile.render(told) == hostile.PAGE.read_text()
