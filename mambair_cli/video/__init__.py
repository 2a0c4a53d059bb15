"""Clips: their frames, how they are encoded again, and what travels beside the pictures."""
