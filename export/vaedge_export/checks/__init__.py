"""Checks of an export: on the modules, on the traced graphs, and on the agreement of both."""
