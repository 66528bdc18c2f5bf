"""Text files that are whole at any moment."""

from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Writes a file that is never half there.

    Raises:
        OSError: it cannot be written.
    """
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
