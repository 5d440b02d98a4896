"""Annealing to exp(−S): ``sd.anneal``, which needs no model, and annealing of samples of a model.

``sd.anneal`` is sequential Monte Carlo from a wide start density q₀ along γ_β ∝ q₀^(1−β) exp(−βS). Samples of
a model are annealed one by one, by annealed importance sampling along the same path with q in place of q₀.

==============  ======================================================================================
module          contents
==============  ======================================================================================
options         the options of ``sd.anneal``
start           the start density q₀, a mixture: draws, log q₀ and its gradient
components      q₀ of a theory, from the minima of S and then from walkers of a pilot
fit             a mixture of Gaussians fitted to walkers
ensemble        walkers with noise, compiled moves and elements of the groups
weights         effective sample sizes, the next temperature, resampling
genealogy       errors from the ancestors of the walkers
population      the pilot, and populations along its ladder of temperatures
driver          ``anneal``: time, signals, progress
layers          single samples from a model to exp(−S) and back, with step sizes of a pilot
layer_training  steps, temperatures and mass of the layers, trained on pilots
from_model      annealing of all samples of a model: batches, signals, progress
result          log Z, weighted configurations, warnings
==============  ======================================================================================
"""

from .driver import anneal as anneal
from .result import Annealed as Annealed
