"""Recipes that install with the package, so that a command finds them outside a checkout."""
