"""Pixels in and out: decode, encode, colour, alpha, depth, metadata."""
