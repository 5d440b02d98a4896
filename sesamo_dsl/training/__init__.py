"""Training of a model: the loop, the learning rate, callbacks, the history and causes of divergence."""
