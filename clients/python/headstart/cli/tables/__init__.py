"""The API's replies as tables that people read."""
