"""A rule with what wraps it: gradient scale, decay, caution. It is what one kernel computes."""
