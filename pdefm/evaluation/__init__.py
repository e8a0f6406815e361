"""How good a model is: rollouts, numbers, pictures."""
