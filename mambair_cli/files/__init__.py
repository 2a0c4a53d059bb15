"""Files, whatever is in them: written whole or not at all, locked, told apart, and where they go."""
