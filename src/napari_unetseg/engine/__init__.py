"""Networks, model files, prediction and training. torch lives only here."""

import os

# Threads that spin while they wait for each other starve on a busy machine: prediction beside one other busy program
# took 2 to 7 times as long. Sleeping costs some 7 % on an idle one. OpenMP reads it once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
