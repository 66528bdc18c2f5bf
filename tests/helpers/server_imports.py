"""Imported once by the process from which test servers are forked: the server's imports, warnings being errors."""
# ruff: noqa: F401

import gc
import warnings

import alembic.command
import array_api_compat.numpy

import server.app
import server.http.protocol

warnings.simplefilter("error")

# A server collects garbage once before it serves. What was imported here is none, and looking at it takes a tenth of a second.
gc.collect()
gc.freeze()
