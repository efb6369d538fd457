# SPDX-License-Identifier: Apache-2.0
"""The HTTP front: routes, parsing and rendering, one handler module a resource.

Rules of images are in ``domain/``, SQL in ``db/``; nothing here runs an import.
"""
