"""Sequential Monte Carlo from a wide start density to exp(−S), without a model: ``sd.anneal``.

=============  ======================================================================================
module         what it holds
=============  ======================================================================================
options        what was asked for
whitening      linear maps to coordinates in which a Gaussian is N(0, 1)
start          the start density q₀, a mixture: draws, log q₀ and its gradient
components     q₀ of a theory, from the minima of S and then from walkers of a pilot
moves          moves that leave γ_β ∝ q₀^(1−β) e^(−βS) invariant, on arrays of a framework
ensemble       walkers with noise, compiled moves and elements of the groups
weights        effective sample sizes, the next temperature, resampling
genealogy      errors from who descends from whom
population     the pilot, and populations along its ladder
driver         ``anneal``: time, signals, progress
result         log Z, weighted configurations, warnings
=============  ======================================================================================
"""

from .driver import anneal as anneal
from .result import Annealed as Annealed
