"""Exports of tasks."""
