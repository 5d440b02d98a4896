"""Moves that leave a density invariant, on arrays of a framework: what annealing and Markov chains share.

=============  ======================================================================================
module         what it holds
=============  ======================================================================================
whitening      linear maps to coordinates in which a Gaussian is N(0, 1): the mass of HMC
moves          trajectories of HMC and Metropolis steps, for a batch of walkers
elements       proposals drawn from the declared groups, with their noise
=============  ======================================================================================
"""
