"""The libraries of the extra `train`, without which there is no trainer."""


def what_to_install(missing: ModuleNotFoundError) -> str:
    """The way out where a library is missing.

    Raises:
        ModuleNotFoundError: a module of ours is.
    """
    if missing.name is None or missing.name.partition(".")[0] in {"models", "training"}:
        raise missing
    return (
        f"headstart-train lacks {missing.name}: it needs PyTorch and the trainer's libraries, "
        "which pip install '.[cpu,train]' brings"
    )
