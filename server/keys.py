"""Tenants, and the scopes that a caller can have."""

from typing import Literal

DEFAULT_TENANT = "default"
"""The tenant of a server without keys."""

Scope = Literal["predict", "write", "manage"]
