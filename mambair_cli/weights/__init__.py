"""Model files: the catalogue of known ones, and the loader that opens any."""
