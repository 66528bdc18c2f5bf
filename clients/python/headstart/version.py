"""The client's version, read here by the package's build too."""

VERSION = "0.1.0"
