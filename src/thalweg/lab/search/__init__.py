"""Which settings are tried: the protocol's numbers, the knobs of an optimizer, who asks for the next setting."""
