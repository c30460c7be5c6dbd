"""What a rule is: a paper's equations in a few words, with its hyperparameters, checked when it is defined."""
