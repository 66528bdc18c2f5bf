"""The client's version, which the package's build reads from here."""

VERSION = "0.1.0"
