"""Files that nobody made on purpose, through commands (``python -m benchmarks.fuzz``) and parsers (``.parsers``)."""
