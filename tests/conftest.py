"""One thread a test process: several, on fewer cores than they want, wait for each other (0.03 ms a step became 16).

Tests of threads set their own number.
"""

import torch

torch.set_num_threads(1)
