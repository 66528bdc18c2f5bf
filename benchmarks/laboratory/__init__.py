"""The laboratory: methods of the field on one bench, with one network, one budget of seconds and one evaluation."""
