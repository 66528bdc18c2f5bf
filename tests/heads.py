"""What tests of heads have in common."""

from models.manifest import HeadOptions, Solver


def options(solver: Solver = "logistic", C: float = 3.0, temperature: float = 1.0, centre: bool = True) -> HeadOptions:
    """Head options, those that matter to the test named by it."""
    return HeadOptions(solver=solver, C=C, temperature=temperature, centre=centre)
