"""Headstart's tools for agents, over the Model Context Protocol. This needs the package `mcp`."""
