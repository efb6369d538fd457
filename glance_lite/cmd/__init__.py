# SPDX-License-Identifier: Apache-2.0
"""The programs: each parses its arguments, calls the rooms below and exits. No logic lives here."""

import warnings

# said by oslo.utils wherever eventlet is installed; the operator can do nothing about it
warnings.filterwarnings('ignore', message='(?s).*Eventlet is deprecated')
warnings.filterwarnings('ignore', message='eventletutils module is deprecated')
