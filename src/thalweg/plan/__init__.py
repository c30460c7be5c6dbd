"""What one step touches: parameters, gradients and state as flat memory, cut into chunks, with their counters."""
