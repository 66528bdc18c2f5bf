"""The API's replies as frozen types. Fields this version has no name for are kept in `raw`."""
