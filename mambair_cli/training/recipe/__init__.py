"""Recipes: read with their places, checked, explained."""
