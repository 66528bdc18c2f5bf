"""The API's replies as tables for people."""
