"""All that knows BasicSR: what it needs before its import, what is wrong in it, and the models built on it."""
