"""The report of each kind of result: which screens, and what is on them."""
