"""Fetch data sets and weights: verified, resumable, and never half in place."""
