"""A process that creates tasks in the database of argv[1], and prints the id of each once it is stored, until it is killed."""

import sys

from server.store.store import Store, StoreError
from tests.helpers.stored import create


def main() -> None:
    try:
        store = Store.open(sys.argv[1])
    except StoreError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    while True:
        print(create(store, labels=[f"class {i % 5}" for i in range(25)], image_bytes=4_000).id, flush=True)


if __name__ == "__main__":
    main()
