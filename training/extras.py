"""The libraries of the extra `train`, without which there is no trainer."""


def what_to_install(missing: ModuleNotFoundError) -> str:
    """Returns the message for a missing library of the extra `train`.

    Raises:
        ModuleNotFoundError: the missing module is one of ours.
    """
    if missing.name is None or missing.name.partition(".")[0] in {"models", "training"}:
        raise missing
    return (
        f"headstart-train lacks {missing.name}: it needs PyTorch and the trainer's libraries, "
        "which pip install '.[cpu,train]' brings"
    )
