"""Runs: trained models, what made them, and where they are kept.

A run directory holds ``run.json`` (options, couplings, versions, how far the training is, and the SHA-256 of
the files that belong to it), ``state-….safetensors`` (weights and optimiser), ``history-….csv``, the
declaration as data in ``declaration.json`` and ``declaration.safetensors`` and, if there were any, the values
of site-dependent couplings, ``couplings.safetensors``, and the configurations of the target that it was
trained with, ``reference.safetensors``. ``analysis.txt`` and the emitted module are for people; nothing reads
them. The state has the same layout for all backends: a run trained with one can be loaded with another.
"""

from .declaration import digest as digest
from .loading import load_run as load_run
from .run import Run as Run
from .starting import start as start
from .warm_start import WarmStart as WarmStart
