"""What a study will take: the time of a step, the machine, the price."""
