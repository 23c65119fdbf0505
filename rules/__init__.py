"""The rule packs that are shipped: data files, found with importlib.resources."""
