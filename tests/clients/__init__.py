"""Tests of the SDK, the command lines and the demonstration."""
