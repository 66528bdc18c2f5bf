"""A process that opens the database of argv[1] and, when told to on a line, creates a task with an idempotency key.

It says how that ended, and waits for another line.
"""

import sys

from server.errors import StorageFailed
from server.ids import new_id
from server.store.records import Asked, Task, TaskKey
from server.store.store import Store
from tests.helpers.stored import create, head_of, new_examples

TENANT = "default"


def create_with_key(store: Store) -> Task:
    """Creates a task under the same key each time."""
    labels = ["cat", "dog"]
    asked = Asked("the key", "fingerprint")
    return store.tasks.create(TaskKey(TENANT, new_id("task")), "pets", new_examples(labels), head_of(labels), asked)


def main() -> None:
    store = Store.open(sys.argv[1])
    create(store)  # Before the first frame of a log its head is written, and waited for.
    print("open", flush=True)
    sys.stdin.readline()
    try:
        create_with_key(store)
        print("stored", flush=True)
    except StorageFailed as error:
        print(error.detail, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
