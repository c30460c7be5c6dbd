"""What trials say: intervals, verdicts that allow for luck, and their words."""
