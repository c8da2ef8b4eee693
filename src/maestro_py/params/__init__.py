"""The rules of parameters: types, merging and interpolation.  Pure."""
