"""Annealing to exp(−S): ``sd.anneal``, which needs no model, and layers that samples of a model go through.

The first is sequential Monte Carlo from a wide start density, the second annealed importance sampling.

=============  ======================================================================================
module         what it holds
=============  ======================================================================================
options        what was asked for
start          the start density q₀, a mixture: draws, log q₀ and its gradient
components     q₀ of a theory, from the minima of S and then from walkers of a pilot
ensemble       walkers with noise, compiled moves and elements of the groups
weights        effective sample sizes, the next temperature, resampling
genealogy      errors from who descends from whom
population     the pilot, and populations along its ladder
driver         ``anneal``: time, signals, progress
layers         from a model to exp(−S) and back, each sample on its own, with step sizes of a pilot
from_model     that for all samples of a model: batches, signals, progress
result         log Z, weighted configurations, warnings
=============  ======================================================================================
"""

from .driver import anneal as anneal
from .result import Annealed as Annealed
