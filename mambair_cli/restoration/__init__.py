"""Restoring images: tile plan, blending, memory, one image and many."""
