"""A solver is known wherever one has to be: to the table, to bundles, and to the SDK."""

from typing import get_args, get_type_hints

import headstart
from models.heads.solvers import METHODS
from models.manifest import HeadDefaults, Solver, TemperatureLaws


def test_every_solver_has_a_method_defaults_and_a_place_for_its_law() -> None:
    names = set(get_args(Solver))
    assert set(METHODS) == names
    assert names <= HeadDefaults.model_fields.keys()
    assert set(TemperatureLaws.model_fields) == names


def test_the_client_knows_the_same_solvers() -> None:
    assert set(get_args(get_type_hints(headstart.HeadOptions)["solver"])) == set(get_args(Solver))
