"""The market against a slow and obvious model: dicts, sorted lists and fractions."""
