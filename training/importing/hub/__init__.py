"""Folders as Hugging Face repositories are: `config.json`, weights, the settings of the preprocessing, perhaps a tokenizer."""
