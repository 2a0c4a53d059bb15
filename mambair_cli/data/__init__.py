"""Training and test data: resizing, degradations, photographs and pairs of files."""
