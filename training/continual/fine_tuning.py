"""Plain fine-tuning: the network goes on with the next task and nothing holds it back.

It forgets (McCloskey & Cohen, Catastrophic interference in connectionist networks, 1989). The others are compared with it.
"""

from training.continual.learner import ContinualLearner, ContinualMethod

METHOD = ContinualMethod("fine-tuning", "McCloskey & Cohen 1989", ContinualLearner)
