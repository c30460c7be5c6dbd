"""One thread a test process: several, on fewer cores than they want, wait for each other (a step of 0.03 ms took 16 ms).

Tests of threads set their own number.
"""

import torch

torch.set_num_threads(1)
