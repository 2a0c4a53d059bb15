"""Building blocks of the networks; all work on channels-last tensors (batch, height, width, channels)."""
