# SPDX-License-Identifier: Apache-2.0
"""How Sphinx builds the documentation. The pages are beside this file."""

import importlib.metadata

project = 'glance_lite'
copyright = 'The glance_lite developers'
release = importlib.metadata.version('glance_lite')
version = release

extensions = ['oslo_config.sphinxext', 'oslo_policy.sphinxext']
html_theme = 'alabaster'
html_theme_options = {
    'description': 'An image service with interoperable import',
    'fixed_sidebar': True,
    'page_width': '1100px',
    'sidebar_width': '240px',
}
html_sidebars = {'**': ['about.html', 'searchfield.html', 'navigation.html']}
html_show_sourcelink = False
exclude_patterns = []
