# SPDX-License-Identifier: Apache-2.0
"""What an import does: ``start`` posts it, ``flow`` plans it, ``steps`` do it, and ``methods`` say
how bytes come.

Who runs it, and what becomes of a failed one, is decided in ``conductor``.
"""
