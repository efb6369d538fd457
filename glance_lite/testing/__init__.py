# SPDX-License-Identifier: Apache-2.0
"""The kit of those who write plugins and stores: contracts to pass, and a service to try them in.

``plugins`` and ``stores`` hold the contracts and need pytest; ``trial`` runs imports in this
process; ``images`` makes sample disks. Nothing that serves users imports this room.
"""
