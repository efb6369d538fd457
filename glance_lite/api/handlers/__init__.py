# SPDX-License-Identifier: Apache-2.0
"""What each route does, one module a resource. No handler imports another."""
