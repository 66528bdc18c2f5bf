"""The tests, one file per noun of the packages."""
