"""Folders, and single large pictures, over a Ray cluster."""
