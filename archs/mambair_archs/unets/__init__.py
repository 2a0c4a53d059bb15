"""U-shaped networks of the field; what they share is in :mod:`mambair_archs.unet`."""
