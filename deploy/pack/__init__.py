"""Builds the agent's packages: a folder that needs no Python on the machine, as a .tar.gz and as a .deb."""
