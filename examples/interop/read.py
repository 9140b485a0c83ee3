"""Reads the events of one entity with plain NATS, and prints one JSON object a line.

    python3 read.py orders o-1

What one decision made of an entity is one message: a single event in CloudEvents'
binary mode, or several in its batched mode. Their order is that of the stream.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator

import msgpack
import nats
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NoMore
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from publish import token

BATCH = "application/cloudevents-batch+msgpack"


def events(message: Msg) -> Iterator[dict[str, object]]:
    """Returns the events of one message, each with its type, id and data."""
    headers = message.headers or {}
    if headers.get("content-type") != BATCH:
        data = msgpack.unpackb(message.data)
        yield {"type": headers.get("ce-type"), "id": headers.get("ce-id"), "data": data}
        return
    for event in msgpack.unpackb(message.data):
        # The payload is MessagePack within MessagePack, as its publisher wrote it.
        data = msgpack.unpackb(event["data"])
        yield {"type": event["type"], "id": event["id"], "data": data}


async def read(args: argparse.Namespace) -> None:
    # Not forever: without this, the client tries to connect until it is stopped.
    client = await nats.connect(args.nats, connect_timeout=5, max_reconnect_attempts=2)
    try:
        stream = f"{args.namespace}_EVT_{args.domain}"
        # Stored by partition: `{namespace}.evt.{domain}.{partition}.{key}`.
        about = f"{args.namespace}.evt.{args.domain}.*.{token(args.key)}"
        everything = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        found = await client.jetstream().subscribe(
            about, stream=stream, ordered_consumer=True, config=everything
        )
        while True:
            message = await found.next_msg(timeout=args.wait)
            for event in events(message):
                print(json.dumps(event))
    except NotFoundError:
        sys.exit(f"there is no stream {stream}; has a node with the domain run?")
    except NoMore:
        return
    finally:
        await client.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reads the events of one entity.")
    parser.add_argument("domain", help="whose events, such as orders")
    parser.add_argument("key", help="the entity, such as o-1")
    parser.add_argument("--wait", type=float, default=1, help="seconds to wait for more; default 1")
    parser.add_argument("--nats", default=os.environ.get("CALLBOARD_NATS", "nats://localhost:4222"))
    parser.add_argument("--namespace", default=os.environ.get("CALLBOARD_NAMESPACE", "callboard"))
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(read(arguments()))
