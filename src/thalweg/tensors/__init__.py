"""One tensor's matters: how it lies in memory, how 16 bits are rounded, how moments are quantized."""
