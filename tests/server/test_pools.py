"""The pools of threads once the server is stopping."""

import asyncio

import pytest

from server.errors import Overloaded
from server.pools import Pools

KINDS = ("in_thread", "in_writer", "in_fitter", "in_background", "in_applier")


@pytest.mark.parametrize("kind", KINDS)
def test_closed_pools_refuse(kind: str) -> None:
    async def run() -> None:
        pools = Pools(1)
        assert await getattr(pools, kind)(divmod, 7, 2) == (3, 1)
        pools.close()
        for _ in range(2):
            with pytest.raises(Overloaded, match="stopping"):
                await getattr(pools, kind)(divmod, 7, 2)

    asyncio.run(run())
