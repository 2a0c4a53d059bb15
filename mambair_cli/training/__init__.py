"""Training: BasicSR does the work, our loop drives it. Importing this package loads neither torch nor BasicSR."""
