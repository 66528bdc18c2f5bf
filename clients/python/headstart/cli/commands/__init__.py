"""The sub-commands of `headstart`, one file for each subject."""
