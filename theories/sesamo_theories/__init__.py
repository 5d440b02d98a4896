"""Theories that come with the package; each module declares one as ``theory``."""
