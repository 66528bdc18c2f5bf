"""The images of examples and captures in the object store, each encrypted under a key of its own.

Written before the transaction that stores what they are of, and erased after the one that removes it. `server.store.object_rows`
has the rows by which none is lost and none is left over, whatever process ends in between.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_bytes, token_hex

from sqlalchemy import func, select, update

from server.audit import unaudited
from server.errors import StorageFailed
from server.store.choices import read_choice, write_choice
from server.store.database import Database, StoreError
from server.store.object_rows import Erasure, Owner, drop_erasures, expect_objects, give_up_objects
from server.store.object_store import ObjectMissing, ObjectStore
from server.store.records import ImageObject
from server.store.tables import erasures, objects

_WAIT = timedelta(hours=1)  # for a change to store the images that were put. Its end decides nothing but when waste leaves.
_AT_ONCE = 1000
_NONCE = bytes(12)  # always the same, since no key encrypts twice
_CHOICE = "object-store"
_MARK = b"The images here are those of one database of Headstart.\n"


class ImageStore:
    """Images outside the database. Thread-safe; each call blocks.

    Args:
        store: None if all images are in the database. Then only `elsewhere` and `fetch` are of use.

    Raises:
        StorageFailed: from every call, if the database or the object store fails.
    """

    def __init__(self, database: Database, store: ObjectStore | None) -> None:
        self._database = database
        self._store = store
        self._marker = ""

    @property
    def elsewhere(self) -> bool:
        """True if new images go into the object store."""
        return self._store is not None

    def open(self) -> None:
        """Checks that the object store is the one that this database uses, and that it can be written, read and deleted.

        Raises:
            StoreError: it is another one, or it cannot be used, or there is none although the database has images in one.
        """
        with self._database.read() as connection:
            known = read_choice(connection, _CHOICE)
            used = any(connection.execute(select(table.c.tenant).limit(1)).first() for table in (objects, erasures))
        if self._store is None:
            if used:
                raise StoreError("images of this database are in an object store; name it with --images-url")
            return
        try:
            probe = f"headstart-{token_hex(8)}"
            self._store.put({probe: _MARK})
            if not self._has(probe):
                raise StoreError("the object store of the images does not give back what was put there")
            self._store.delete([probe])
            there = known is not None and self._has(known)
            if used and not there:
                raise StoreError(f"this is not the object store of this database: it has no object {known}")
            self._marker = known if known and there else self._mark(known)
        except StorageFailed as error:
            raise StoreError(f"the object store of the images cannot be used: {error.__cause__ or error.detail}") from error

    def check(self) -> None:
        """Checks that the object store can be read."""
        if self._store is not None and not self._has(self._marker):
            raise StorageFailed("the object store of the images is not the one that it was", retry_after=None)

    def place(self, images: Mapping[Owner, bytes]) -> dict[Owner, ImageObject]:
        """Puts images into the object store, many at once. A change must store where they lie, or `give_up` be called."""
        assert self._store is not None
        placed = {owner: ImageObject("/".join((*owner[0], owner[1])), token_bytes(32)) for owner in images}
        with unaudited(), self._database.write(*{key.tenant for key, _ in placed}) as connection:
            expect_objects(connection, _erasures(placed), datetime.now(UTC) + _WAIT)
        try:
            self._store.put({placed[owner].path: _encrypted(placed[owner], image) for owner, image in images.items()})
        except BaseException:
            self.give_up(placed)
            raise
        return placed

    def give_up(self, placed: Mapping[Owner, ImageObject]) -> None:
        """Has objects erased by the next `erase`, unless they have been stored."""
        with unaudited(), self._database.write(*{key.tenant for key, _ in placed}, removes=True) as connection:
            give_up_objects(connection, _erasures(placed))

    def fetch(self, read: Callable[[], Sequence[tuple[str, bytes | ImageObject]]]) -> list[tuple[str, bytes]]:
        """Returns images, each with the text that `read` gives beside it.

        Args:
            read: reads, in a transaction of its own, the images or where they lie. It is called again if one is not there: it
                may have been removed meanwhile, and then `read` says so.
        """
        try:
            return self._fetched(read())
        except ObjectMissing:
            pass
        try:
            return self._fetched(read())
        except ObjectMissing as error:
            raise StorageFailed("the object store lacks this image", retry_after=None) from error

    def expire(self) -> bool:
        """Gives up objects that no change has stored in time. Returns whether any are to be erased."""
        late = erasures.c.certain.is_(False), erasures.c.due_at <= datetime.now(UTC)
        with self._database.read() as connection:
            tenants = connection.scalars(select(erasures.c.tenant).where(*late).distinct()).all()
        for tenant in tenants:
            with self._database.write(tenant) as connection:
                connection.execute(update(erasures).where(erasures.c.tenant == tenant, *late).values(certain=True))
        return bool(self._certain(None))

    def erase(self, tenant: str | None = None) -> None:
        """Erases the objects of what was removed, of one tenant or of all."""
        while self._store is not None and (found := self._certain(tenant)):
            self._store.delete([path for _, path in found])
            with unaudited(), self._database.write(*{of for of, _ in found}, removes=True) as connection:
                drop_erasures(connection, found)

    def unerased(self) -> int:
        """Returns the number of objects that are still to be erased for certain."""
        with self._database.read() as connection:
            return connection.scalars(select(func.count()).select_from(erasures).where(erasures.c.certain)).one()

    def close(self) -> None:
        """Lets go of the object store."""
        if self._store is not None:
            self._store.close()

    def _certain(self, tenant: str | None) -> list[Erasure]:
        query = select(erasures.c.tenant, erasures.c.path).where(erasures.c.certain).limit(_AT_ONCE)
        if tenant is not None:
            query = query.where(erasures.c.tenant == tenant)
        with self._database.read() as connection:
            return [(row.tenant, row.path) for row in connection.execute(query)]

    def _fetched(self, found: Sequence[tuple[str, bytes | ImageObject]]) -> list[tuple[str, bytes]]:
        outside = [image for _, image in found if isinstance(image, ImageObject)]
        if not outside:
            return [(beside, image) for beside, image in found if isinstance(image, bytes)]
        if self._store is None:
            raise StorageFailed("this image is in an object store, which this server was not given", retry_after=None)
        got = dict(zip((each.path for each in outside), self._store.get([each.path for each in outside]), strict=True))
        return [(beside, _decrypted(each, got[each.path]) if isinstance(each, ImageObject) else each) for beside, each in found]

    def _has(self, path: str) -> bool:
        assert self._store is not None
        try:
            self._store.get([path])
        except ObjectMissing:
            return False
        return True

    def _mark(self, before: str | None) -> str:
        """Makes the object by which the database knows its object store, unless another server has. Returns its path."""
        assert self._store is not None
        with self._database.write("") as connection:
            known = read_choice(connection, _CHOICE)
            if known is not None and known != before:
                return known
            marker = f"headstart-{token_hex(8)}"
            self._store.put({marker: _MARK})
            write_choice(connection, _CHOICE, marker)
        return marker


def _erasures(placed: Mapping[Owner, ImageObject]) -> list[Erasure]:
    return [(key.tenant, at.path) for (key, _), at in placed.items()]


def _encrypted(at: ImageObject, image: bytes) -> bytes:
    """Returns an image as its object has it. It can be decrypted at that path only."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(at.key).encrypt(_NONCE, image, at.path.encode())


def _decrypted(at: ImageObject, content: bytes) -> bytes:
    """Returns the image. Raises StorageFailed if the object is not the one that was put there."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(at.key).decrypt(_NONCE, content, at.path.encode())
    except InvalidTag as error:
        raise StorageFailed("an object of the object store was changed by another program", retry_after=None) from error
