"""Imported once by the process from which test servers are forked: the server's imports, warnings being errors."""
# ruff: noqa: F401

import warnings

import array_api_compat.numpy

import server.app
import server.http.protocol

warnings.simplefilter("error")
