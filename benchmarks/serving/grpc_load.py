"""Calls of gRPC for the load generator, by grpcio's own client on an event loop."""

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle, islice

import grpc

from benchmarks.serving.load import Job, Outcome, Reply

_INFER = "/inference.GRPCInferenceService/ModelInfer"


def drive_grpc(job: Job, address: tuple[str, int]) -> Outcome:
    """Sends the messages of a job in a closed loop, over one connection. A call that fails has the status 500."""
    assert job.rate is None
    return asyncio.run(_drive(job, address))


async def _drive(job: Job, address: tuple[str, int]) -> Outcome:
    messages = islice(cycle(job.requests), job.count)
    replies: list[Reply] = []
    async with grpc.aio.insecure_channel(f"{address[0]}:{address[1]}") as channel:
        await channel.channel_ready()
        processor, start = time.process_time(), time.perf_counter()
        await asyncio.gather(*(_ask(channel, messages, replies) for _ in range(job.connections)))
        seconds, busy = time.perf_counter() - start, time.process_time() - processor
    return Outcome(replies, seconds, busy / seconds)


async def _ask(channel: grpc.aio.Channel, messages: Iterator[bytes], replies: list[Reply]) -> None:
    """Sends one message after another until there are none left for anybody."""
    infer = channel.unary_unary(_INFER)
    for message in messages:
        since = time.perf_counter()
        try:
            await infer(message)
        except grpc.aio.AioRpcError:
            replies.append(Reply(500, time.perf_counter() - since, False, b""))
        else:
            replies.append(Reply(200, time.perf_counter() - since, False, b""))
