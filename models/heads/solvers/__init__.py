"""Solvers: one file for each way to fit the last layer, and the table that names them."""

from collections.abc import Mapping

from models.heads.solvers import logistic, prototype, ridge
from models.heads.solvers.method import Method
from models.manifest import Solver

METHODS: Mapping[Solver, Method] = {
    "logistic": logistic.METHOD,
    "ridge": ridge.METHOD,
    "prototype": prototype.METHOD,
}
