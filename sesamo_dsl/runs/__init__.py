"""Runs: trained models with their options, couplings and history, and the directories that hold them.

A run directory has these files:

=================================  ======================================================================
``run.json``                       options, couplings, versions, progress, and SHA-256 of the other files
``state-….safetensors``            weights and memory of the optimiser
``history-….csv``                  metrics of every step
``declaration.json``,              Program, facts and base, from which the model is built again
``declaration.safetensors``
``couplings.safetensors``          values of site-dependent couplings, if the theory has any
``reference.safetensors``          configurations of the target for the forward divergence, if given
``walkers-….safetensors``          configurations that an annealing found to learn from, as they have moved
``outside-….safetensors``          configurations of the target that samples are compared with, if any
``analysis.txt``, emitted module   for people; ``analysis.txt`` is read for format 1 and for reports
``run.lock``                       lock file of the process that trains the run
=================================  ======================================================================

The state has the same layout on all backends, so a run trained with one backend can be loaded with another.
"""

from .declaration import digest as digest
from .loading import analysis_of as analysis_of
from .loading import load_run as load_run
from .loading import record_of as record_of
from .loading import stored_analysis as stored_analysis
from .run import Run as Run
from .starting import start as start
from .warm_start import WarmStart as WarmStart
