# SPDX-License-Identifier: Apache-2.0
"""What every request passes before the application: request id, log, fault, identity, context.

``deploy.py`` lists them in order. Nothing here knows a resource of the API.
"""
