"""Options of a model and its training, the plan that the compiler decides from them, and bases of flows."""
