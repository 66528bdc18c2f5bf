"""Evaluation: few-shot episodes, accuracy and confusion."""
