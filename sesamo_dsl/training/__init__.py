"""How a model is trained: what is asked, what the compiler chooses, the loop and its history."""
