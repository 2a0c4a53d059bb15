"""Sample pictures that install with the package; downloads go elsewhere."""
