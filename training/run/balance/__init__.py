"""Balancing of several objectives that share one backbone: by weights, fixed or learned, or by combining their gradients.

Each way is a module whose `backward` takes one step's losses and leaves gradients on every parameter. Losses arrive with a prior
weight: the recipe's, times the share of the batch that the objective uses. So their sum is a mean over images.

A file of this package holds a way and ends with its entry, and the recipe's `balancing` names it.
"""

from training.run.balance.base import Balance, Balancing, BalancingError, Term, balancings, find_balancing

__all__ = ["Balance", "Balancing", "BalancingError", "Term", "balancings", "find_balancing"]
