"""A study's recording: a finalist's run of each optimizer again, with checkpoints, and the loss around them.

It lies in the study's folder: `recording.json` has the slices, which need no code to be shown, `recording.npz` the
weights.
"""
